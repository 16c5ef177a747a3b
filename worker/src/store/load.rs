//! Loads all rows that a batch touches with a fixed number of queries, and locks them in the order of their ids.
//!
//! In READ COMMITTED a query sees what was committed before it began. A read that relies on a lock is therefore a
//! separate query that begins once the lock is held. The order: what has no row yet, then users, then groups, then
//! members.

mod groups;
mod holders;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use database::schema::{commands, receipts, recent_resources, users};
use database::users::UserRow;
use database::{Constant, Error, tenants, verdicts};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::command::Fingerprint;
use domain::outcome::{Outcome, REPEATABLE_FOR};
use domain::ticket::Ticket;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use self::holders::Holders;
use super::RowKeys;
use super::locks::{self, Tenants};
use crate::fold::{EarlierRequests, Entry, Person, Slot, State};
use domain::delivery::Delivery;

/// Applied creates that were replied to.
const CREATES: &str = "commands.delivery = 'replied' and commands.status < 300 \
    and commands.change in ('user.create', 'group.create')";

/// What a load has found.
#[derive(Debug)]
pub enum Loaded {
    /// The rows.
    State(Box<State>),
    /// Nothing was loaded: the locks of these tenants are not free.
    Busy(Vec<Uuid>),
}

/// Loads and locks the rows. Once the advisory locks are held, queries that do not wait for each other are pipelined.
///
/// # Errors
/// See [`Error`].
pub async fn load(
    connection: &AsyncPgConnection,
    keys: &RowKeys,
    now: OffsetDateTime,
    how: Tenants,
) -> Result<Loaded, Error> {
    let busy = locks::hold(connection, keys, how).await?;
    if !busy.is_empty() {
        return Ok(Loaded::Busy(busy));
    }
    // Awaited: it has several statements, and holders of an externalId are loaded under its lock.
    locks::creates(connection, keys).await?;
    let tenant_ids = ids(&keys.tenants);
    // All are awaited, so that a failure leaves no response half-read.
    let (tenants, users, people, entries, made) = futures_util::join!(
        tenants::by_ids(connection, &tenant_ids),
        load_users(connection, keys),
        load_people(connection, keys),
        load_verdicts(connection, keys, now),
        load_made(connection, keys),
    );
    // After the first failure Postgres rejects the rest of the transaction.
    let failures = [
        tenants.as_ref().err(),
        users.as_ref().err(),
        people.as_ref().err(),
        entries.as_ref().err(),
        made.as_ref().err(),
    ];
    if let Some(cause) = Error::cause(failures.into_iter().flatten().cloned()) {
        return Err(cause);
    }
    let mut state = State::new(now);
    state.tenants = tenants?.into_iter().map(|tenant| (tenant.id, tenant)).collect();
    state.users = users?.into_iter().map(|row| (row.id, Slot::loaded(row))).collect();
    state.people = people?;
    let StoredVerdicts { entries, undelivered, without_receipt } = entries?;
    (state.verdicts, state.undelivered, state.without_receipt) = (entries, undelivered, without_receipt);
    state.made = made?;
    let undelivered = undelivered_resources(&state);
    load_undelivered_users(connection, &undelivered, &mut state).await?;
    groups::load(connection, keys, &undelivered, &mut state).await?;
    Ok(Loaded::State(Box::new(state)))
}

/// Resources whose create or last change may not have been delivered. A retry receives them as its answer.
fn undelivered_resources(state: &State) -> BTreeSet<Uuid> {
    let requests = state.undelivered.values().chain(state.without_receipt.values()).flat_map(BTreeMap::keys);
    let outcomes = requests.filter_map(|ticket| state.verdicts.get(ticket));
    outcomes.filter_map(|entry| Some(entry.outcome.as_ref()?.record()?.id)).collect()
}

/// The users among them that were not found by userName, because they may have been renamed. (This breaks the lock
/// order. It is rare; if two workers deadlock here, one of them retries.)
async fn load_undelivered_users(
    mut connection: &AsyncPgConnection,
    undelivered: &BTreeSet<Uuid>,
    state: &mut State,
) -> Result<(), Error> {
    let missing: Vec<Uuid> = undelivered.iter().filter(|id| !state.users.contains_key(id)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let query = users::table.filter(users::id.eq_any(missing)).order(users::id).select(UserRow::as_select());
    let rows: Vec<UserRow> = query.for_no_key_update().load(&mut connection).await?;
    state.users.extend(rows.into_iter().map(|row| (row.id, Slot::loaded(row))));
    Ok(())
}

fn ids(set: &BTreeSet<Uuid>) -> Vec<Uuid> {
    set.iter().copied().collect()
}

/// Users that the batch changes or that a POST may match. Only a deletion conflicts with transactions that add members.
async fn load_users(mut connection: &AsyncPgConnection, keys: &RowKeys) -> Result<Vec<UserRow>, Error> {
    if keys.users.is_empty() {
        return Ok(Vec::new());
    }
    let (named_in, names): (Vec<Uuid>, Vec<String>) = keys.names.iter().cloned().unzip();
    // May return rows of other tenants in the batch; the fold checks tenant and name together.
    let named = users::tenant_id.eq_any(named_in).and(users::user_name_key.eq_any(names));
    let changed = users::id.eq_any(ids(&keys.users)).and(users::tenant_id.eq_any(ids(&keys.tenants)));
    let touched = changed.or(named).or(Holders::of(&keys.external_ids, &keys.names));
    let query = users::table.filter(touched).order(users::id).select(UserRow::as_select());
    Ok(if keys.deleted.is_empty() {
        query.for_no_key_update().load(&mut connection).await?
    } else {
        query.for_update().load(&mut connection).await?
    })
}

/// The existing users among those to be added as members. The lock prevents their deletion until the commit, but not
/// changes.
async fn load_people(
    mut connection: &AsyncPgConnection,
    keys: &RowKeys,
) -> Result<HashMap<Uuid, Person>, Error> {
    if keys.members.is_empty() {
        return Ok(HashMap::new());
    }
    let named = users::id.eq_any(ids(&keys.members)).and(users::tenant_id.eq_any(ids(&keys.tenants)));
    let columns = (users::id, users::tenant_id, users::display_name, users::user_name);
    let query = users::table.filter(named).order(users::id).select(columns).for_key_share();
    let rows: Vec<groups::Called> = query.load(&mut connection).await?;
    Ok(rows.into_iter().map(groups::person).collect())
}

/// Which commands already created the groups that this batch's requests create.
async fn load_made(
    mut connection: &AsyncPgConnection,
    keys: &RowKeys,
) -> Result<HashMap<(Uuid, Fingerprint), Ticket>, Error> {
    if keys.group_creates.is_empty() {
        return Ok(HashMap::new());
    }
    let fingerprints: Vec<&str> = keys.group_creates.iter().map(|(_, request)| request.as_str()).collect();
    let query = commands::table
        .filter(Constant("commands.change = 'group.create' and commands.status < 300"))
        .filter(commands::tenant_id.eq_any(ids(&keys.tenants)))
        .filter(commands::fingerprint.eq_any(fingerprints))
        .order(commands::id)
        .select((commands::tenant_id, commands::fingerprint, commands::id));
    let rows: Vec<(Uuid, String, Uuid)> = query.load(&mut connection).await?;
    // Ordered by ticket, so that the latest one wins.
    Ok(rows.into_iter().map(|(tenant, of, id)| ((tenant, Fingerprint::stored(of)), Ticket(id))).collect())
}

/// The rows of `commands` for a batch and for earlier attempts of its requests.
#[derive(Default)]
struct StoredVerdicts {
    entries: BTreeMap<Ticket, Entry>,
    undelivered: EarlierRequests,
    without_receipt: EarlierRequests,
}

async fn load_verdicts(
    mut connection: &AsyncPgConnection,
    keys: &RowKeys,
    now: OffsetDateTime,
) -> Result<StoredVerdicts, Error> {
    type Columns =
        (Uuid, Uuid, String, String, Option<Value>, Option<OffsetDateTime>, (Option<Value>, Option<Uuid>));
    let fingerprints: Vec<&str> = keys.fingerprints.iter().map(String::as_str).collect();
    let same_request =
        commands::tenant_id.eq_any(ids(&keys.tenants)).and(commands::fingerprint.eq_any(fingerprints));
    let own = commands::id.eq_any(ids(&keys.tickets));
    let repeated = same_request.and(commands::decided_at.gt(now - REPEATABLE_FOR));
    let undelivered = Constant("commands.delivery = 'undelivered'").and(repeated.clone());
    let creates = Constant(CREATES).and(repeated);
    let columns = (
        commands::id,
        commands::tenant_id,
        commands::fingerprint,
        commands::delivery,
        commands::outcome,
        commands::decided_at,
        // Subqueries, since only the rows of `commands` are locked, and a join could read all of the other table.
        (
            recent_resources::table
                .filter(recent_resources::command.eq(commands::id))
                .select(recent_resources::resource)
                .single_value(),
            receipts::table
                .filter(receipts::command.eq(commands::id))
                .select(receipts::command)
                .single_value(),
        ),
    );
    let query = commands::table.filter(own.or(undelivered).or(creates)).order(commands::id).select(columns);
    let rows: Vec<Columns> = query.for_update().load(&mut connection).await?;
    let mut stored = StoredVerdicts::default();
    for (id, tenant, fingerprint, delivery, outcome, decided_at, (resource, receipt)) in rows {
        let (ticket, request) = (Ticket(id), (tenant, Fingerprint::stored(fingerprint)));
        let delivery = Delivery::parse(&delivery)
            .ok_or_else(|| Error::Refused("a command has an unknown delivery state".to_owned()))?;
        let outcome = outcome.map(|outcome| verdicts::decode(outcome, resource)).transpose()?;
        match (delivery, &outcome, decided_at) {
            (Delivery::Undelivered, _, Some(at)) => {
                stored.undelivered.entry(request).or_default().insert(ticket, at);
            }
            (Delivery::Replied, Some(Outcome::Created { .. }), Some(at)) if receipt.is_none() => {
                stored.without_receipt.entry(request).or_default().insert(ticket, at);
            }
            _ => {}
        }
        let entry = Entry { stored: true, changed: false, outcome, delivery, command: None };
        stored.entries.insert(ticket, entry);
    }
    Ok(stored)
}

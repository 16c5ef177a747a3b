//! Loading: all rows that a batch touches, locked in the order of their ids, by a fixed number of queries.
//!
//! In READ COMMITTED a query sees what was committed before it began. So whatever relies on a lock is a query of its own that
//! begins when the lock is held: first what has no row yet, then users, then groups, then who is in them.

mod groups;
mod holders;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use shared::command::Fingerprint;
use shared::outcome::{Outcome, REPEATABLE_FOR};
use shared::postgres::schema::{commands, users};
use shared::postgres::users::UserRow;
use shared::postgres::{Constant, Error, tenants, verdicts};
use shared::ticket::Ticket;
use time::OffsetDateTime;
use uuid::Uuid;

use self::holders::Holders;
use super::{Keys, locks};
use crate::fold::{Entry, Person, Slot, Standing, State, Tries};

/// Creates that took effect, and of which ingest has not said that it told its client: few, and in an index of their own.
const UNTOLD: &str = "commands.state = 'decided' and commands.status < 300 \
    and commands.change in ('user.create', 'group.create')";

/// Loads and locks the rows. What does not wait for a lock is sent at once (pipelined).
///
/// # Errors
/// See [`Error`].
pub async fn load(connection: &AsyncPgConnection, keys: &Keys, now: OffsetDateTime) -> Result<State, Error> {
    let tenant_ids = ids(&keys.tenants);
    // All are awaited, so that none is left half-read when one of them fails.
    let (held, locked, tenants, users, people, entries, made) = futures_util::join!(
        locks::hold(connection, keys),
        locks::creates(connection, keys),
        tenants::by_ids(connection, &tenant_ids),
        load_users(connection, keys),
        load_people(connection, keys),
        load_inbox(connection, keys, now),
        load_made(connection, keys),
    );
    // After the first failure Postgres refuses the rest of the transaction.
    let (held, locked) = (held.err(), locked.err());
    let failures = [
        held.as_ref(),
        locked.as_ref(),
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
    let Inbox { entries, unclaimed, untold } = entries?;
    (state.inbox, state.unclaimed, state.untold) = (entries, unclaimed, untold);
    state.made = made?;
    let unheard = unheard(&state);
    load_unheard_users(connection, &unheard, &mut state).await?;
    groups::load(connection, keys, &unheard, &mut state).await?;
    Ok(state)
}

/// The resources whose making, or last change, nobody may have heard of: a repetition is answered with them.
fn unheard(state: &State) -> BTreeSet<Uuid> {
    let tries = state.unclaimed.values().chain(state.untold.values()).flat_map(BTreeMap::keys);
    let outcomes = tries.filter_map(|ticket| state.inbox.get(ticket));
    outcomes.filter_map(|entry| Some(entry.outcome.as_ref()?.record()?.id)).collect()
}

/// Those of them that are users, and not found by their names: they may have other names by now. (They are locked out of
/// order. It is seldom, and where two workers meet in this one of them begins again.)
async fn load_unheard_users(
    mut connection: &AsyncPgConnection,
    unheard: &BTreeSet<Uuid>,
    state: &mut State,
) -> Result<(), Error> {
    let missing: Vec<Uuid> = unheard.iter().filter(|id| !state.users.contains_key(id)).copied().collect();
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

/// The users whom the batch changes, or whom a POST may mean. Only a deletion locks out those who make them members.
async fn load_users(mut connection: &AsyncPgConnection, keys: &Keys) -> Result<Vec<UserRow>, Error> {
    if keys.users.is_empty() {
        return Ok(Vec::new());
    }
    let (named_in, names): (Vec<Uuid>, Vec<String>) = keys.names.iter().cloned().unzip();
    // Of several tenants this finds a little more than asked for; the fold looks at tenant and name together.
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

/// Those of the people to be members who are there: locked so that they stay until the commit, but can be changed.
async fn load_people(
    mut connection: &AsyncPgConnection,
    keys: &Keys,
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

/// By whom the groups of this batch's requests were made already.
async fn load_made(
    mut connection: &AsyncPgConnection,
    keys: &Keys,
) -> Result<HashMap<(Uuid, Fingerprint), Ticket>, Error> {
    if keys.group_creates.is_empty() {
        return Ok(HashMap::new());
    }
    let fingerprints: Vec<&str> = keys.group_creates.iter().map(String::as_str).collect();
    let query = commands::table
        .filter(Constant("commands.change = 'group.create' and commands.status < 300"))
        .filter(commands::tenant_id.eq_any(ids(&keys.tenants)))
        .filter(commands::fingerprint.eq_any(fingerprints))
        .order(commands::id)
        .select((commands::tenant_id, commands::fingerprint, commands::id));
    let rows: Vec<(Uuid, String, Uuid)> = query.load(&mut connection).await?;
    // In the order of tickets: the latest stays.
    Ok(rows.into_iter().map(|(tenant, of, id)| ((tenant, Fingerprint::stored(of)), Ticket(id))).collect())
}

/// What stands in `commands` of a batch and of its requests' earlier tries.
#[derive(Default)]
struct Inbox {
    entries: BTreeMap<Ticket, Entry>,
    unclaimed: Tries,
    untold: Tries,
}

async fn load_inbox(
    mut connection: &AsyncPgConnection,
    keys: &Keys,
    now: OffsetDateTime,
) -> Result<Inbox, Error> {
    type Columns = (Uuid, Uuid, String, String, Option<Value>, Option<OffsetDateTime>);
    let fingerprints: Vec<&str> = keys.fingerprints.iter().map(String::as_str).collect();
    let same_request =
        commands::tenant_id.eq_any(ids(&keys.tenants)).and(commands::fingerprint.eq_any(fingerprints));
    let own = commands::id.eq_any(ids(&keys.tickets));
    let repeated = same_request.and(commands::decided_at.gt(now - REPEATABLE_FOR));
    let unclaimed = Constant("commands.state = 'unclaimed'").and(repeated.clone());
    let untold = Constant(UNTOLD).and(repeated);
    let columns = (
        commands::id,
        commands::tenant_id,
        commands::fingerprint,
        commands::state,
        commands::outcome,
        commands::decided_at,
    );
    let query = commands::table.filter(own.or(unclaimed).or(untold)).order(commands::id).select(columns);
    let rows: Vec<Columns> = query.for_update().load(&mut connection).await?;
    let mut inbox = Inbox::default();
    for (id, tenant, fingerprint, state, outcome, decided_at) in rows {
        let (ticket, request) = (Ticket(id), (tenant, Fingerprint::stored(fingerprint)));
        let standing = match &*state {
            "unclaimed" => Standing::Unclaimed,
            "claimed" => Standing::Claimed,
            _ => Standing::Decided,
        };
        let outcome = outcome.map(verdicts::decode).transpose()?;
        match (standing, &outcome, decided_at) {
            (Standing::Unclaimed, _, Some(at)) => {
                inbox.unclaimed.entry(request).or_default().insert(ticket, at);
            }
            (Standing::Decided, Some(Outcome::Created { .. }), Some(at)) => {
                inbox.untold.entry(request).or_default().insert(ticket, at);
            }
            _ => {}
        }
        let entry = Entry { stored: true, changed: false, outcome, standing, command: None };
        inbox.entries.insert(ticket, entry);
    }
    Ok(inbox)
}

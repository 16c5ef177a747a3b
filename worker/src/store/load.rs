//! Loading: all rows that a batch touches, locked in the order of their ids, by a fixed number of queries.
//!
//! In READ COMMITTED a query sees what was committed before it began. So whatever relies on a lock is a query of its own that
//! begins when the lock is held: first what has no row yet, then users, then groups, then who is in them.

mod groups;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use shared::command::Fingerprint;
use shared::postgres::schema::{commands, users};
use shared::postgres::users::UserRow;
use shared::postgres::{Constant, Error, tenants, verdicts};
use shared::ticket::Ticket;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Keys, locks};
use crate::fold::{Entry, Person, Slot, State};

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
        load_inbox(connection, keys),
        load_made(connection, keys),
    );
    held.and(locked)?;
    let mut state = State::new(now);
    state.tenants = tenants?.into_iter().map(|tenant| (tenant.id, tenant)).collect();
    state.users = users?.into_iter().map(|row| (row.id, Slot::loaded(row))).collect();
    state.people = people?;
    (state.inbox, state.unclaimed) = entries?;
    state.made = made?;
    groups::load(connection, keys, &mut state).await?;
    Ok(state)
}

fn ids(set: &BTreeSet<Uuid>) -> Vec<Uuid> {
    set.iter().copied().collect()
}

/// The users whom the batch changes, or whom a POST may mean. Only a deletion locks out those who make them members.
async fn load_users(mut connection: &AsyncPgConnection, keys: &Keys) -> Result<Vec<UserRow>, Error> {
    if keys.users.is_empty() {
        return Ok(Vec::new());
    }
    let split = |set: &BTreeSet<(Uuid, String)>| -> (Vec<Uuid>, Vec<String>) { set.iter().cloned().unzip() };
    let ((named_in, names), (linked_in, external_ids)) = (split(&keys.names), split(&keys.external_ids));
    // Of several tenants this finds a little more than asked for; the fold looks at tenant and name together.
    let named = users::tenant_id.eq_any(named_in).and(users::user_name_key.eq_any(names));
    let linked = users::tenant_id
        .eq_any(linked_in)
        .and(Constant("users.external_id is not null"))
        .and(users::external_id.eq_any(external_ids));
    let touched = users::id.eq_any(ids(&keys.users)).or(named).or(linked);
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

type Inbox = (BTreeMap<Ticket, Entry>, HashMap<(Uuid, Fingerprint), Ticket>);
type InboxRow = (Uuid, Uuid, String, String, Option<Value>);

async fn load_inbox(mut connection: &AsyncPgConnection, keys: &Keys) -> Result<Inbox, Error> {
    let fingerprints: Vec<&str> = keys.fingerprints.iter().map(String::as_str).collect();
    let own = commands::id.eq_any(ids(&keys.tickets));
    let unclaimed = Constant("commands.state = 'unclaimed'")
        .and(commands::tenant_id.eq_any(ids(&keys.tenants)))
        .and(commands::fingerprint.eq_any(fingerprints));
    let columns =
        (commands::id, commands::tenant_id, commands::fingerprint, commands::state, commands::outcome);
    let query = commands::table.filter(own.or(unclaimed)).order(commands::id).select(columns).for_update();
    let rows: Vec<InboxRow> = query.load(&mut connection).await?;
    let (mut inbox, mut marks) = Inbox::default();
    for (id, tenant, fingerprint, state, outcome) in rows {
        let unclaimed = state == "unclaimed";
        if unclaimed {
            // In the order of tickets: the latest stays.
            marks.insert((tenant, Fingerprint::stored(fingerprint)), Ticket(id));
        }
        let outcome = outcome.map(verdicts::decode).transpose()?;
        inbox.insert(Ticket(id), Entry { stored: true, changed: false, outcome, unclaimed, command: None });
    }
    Ok((inbox, marks))
}

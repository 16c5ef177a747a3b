//! Loading: all rows that a batch touches, locked in the order of their ids.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use shared::command::{Change, Command, Fingerprint};
use shared::postgres::schema::{commands, users};
use shared::postgres::users::UserRow;
use shared::postgres::{Constant, Error, tenants, verdicts};
use shared::scim::user_name_key;
use shared::ticket::Ticket;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::fold::{Entry, Slot, State};

/// What a batch touches, sorted: locks are taken in one order by all workers.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    tickets: BTreeSet<Uuid>,
    tenants: BTreeSet<Uuid>,
    users: BTreeSet<Uuid>,
    names: BTreeSet<(Uuid, String)>,
    fingerprints: BTreeSet<String>,
}

impl Keys {
    /// What these commands name.
    #[must_use]
    pub fn of<'a>(batch: impl IntoIterator<Item = &'a Command>) -> Self {
        let mut keys = Self::default();
        for command in batch {
            keys.tickets.insert(command.ticket.0);
            keys.tenants.insert(command.tenant);
            keys.users.insert(command.resource);
            keys.fingerprints.insert(command.fingerprint.as_str().to_owned());
            if let Change::CreateUser { user, .. } | Change::ReplaceUser { user } = &command.change {
                keys.names.insert((command.tenant, user_name_key(user.user_name())));
            }
        }
        keys
    }

    /// Adds the names that a fold came to, so that the next one sees who has them: a PATCH does not show its
    /// userName before it is applied.
    pub fn add_names(&mut self, state: &State) {
        let rows = state.users.values().filter_map(|slot| slot.current.as_ref());
        self.names.extend(rows.map(|row| (row.tenant_id, row.user_name_key.clone())));
    }
}

/// Loads and locks the rows. All queries are sent at once (pipelined).
///
/// # Errors
/// See [`Error`].
pub async fn load(connection: &AsyncPgConnection, keys: &Keys, now: OffsetDateTime) -> Result<State, Error> {
    let tenant_ids: Vec<Uuid> = keys.tenants.iter().copied().collect();
    // All are awaited, so that none is left half-read when one of them fails.
    let (tenants, users, entries) = futures_util::join!(
        tenants::by_ids(connection, &tenant_ids),
        load_users(connection, keys),
        load_inbox(connection, keys),
    );
    let mut state = State::new(now);
    state.tenants = tenants?.into_iter().map(|tenant| (tenant.id, tenant.name)).collect();
    state.users = users?
        .into_iter()
        .map(|row| (row.id, Slot { stored: Some(row.clone()), current: Some(row) }))
        .collect();
    (state.inbox, state.unclaimed) = entries?;
    Ok(state)
}

async fn load_users(mut connection: &AsyncPgConnection, keys: &Keys) -> Result<Vec<UserRow>, Error> {
    let ids: Vec<Uuid> = keys.users.iter().copied().collect();
    let (tenants, names): (Vec<Uuid>, Vec<&str>) =
        keys.names.iter().map(|(t, name)| (*t, name.as_str())).unzip();
    // Of several tenants this finds a little more than asked for; the fold looks at tenant and name together.
    let named = users::tenant_id.eq_any(tenants).and(users::user_name_key.eq_any(names));
    let query = users::table.filter(users::id.eq_any(ids).or(named)).order(users::id);
    Ok(query.select(UserRow::as_select()).for_update().load(&mut connection).await?)
}

type Inbox = (BTreeMap<Ticket, Entry>, HashMap<(Uuid, Fingerprint), Ticket>);
type InboxRow = (Uuid, Uuid, String, String, Option<Value>);

async fn load_inbox(mut connection: &AsyncPgConnection, keys: &Keys) -> Result<Inbox, Error> {
    let tickets: Vec<Uuid> = keys.tickets.iter().copied().collect();
    let tenants: Vec<Uuid> = keys.tenants.iter().copied().collect();
    let fingerprints: Vec<&str> = keys.fingerprints.iter().map(String::as_str).collect();
    let own = commands::id.eq_any(tickets);
    let unclaimed = Constant("commands.state = 'unclaimed'")
        .and(commands::tenant_id.eq_any(tenants))
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

//! Saving: the difference that the fold made, in the order that unique names need: gone, changed, new.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::Value;
use shared::command::Actor;
use shared::event::Event;
use shared::postgres::schema::users;
use shared::postgres::users::UserRow;
use shared::postgres::{Error, Rows};
use shared::ticket::Ticket;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::fold::{Entry, State};

const INSERT_USERS: &str = "insert into users (id, tenant_id, user_name, user_name_key, external_id, given_name, \
    family_name, display_name, email, location, business_unit, department, job_title, manager_name, employee_number, \
    locale, timezone, role, origin, archived_at, resource, version, ticket, created_ticket, created_at, modified_at) \
    select id, tenant_id, user_name, user_name_key, external_id, given_name, family_name, display_name, email, \
    location, business_unit, department, job_title, manager_name, employee_number, locale, timezone, role, origin, \
    archived_at, resource, version, ticket, created_ticket, created_at, modified_at from input order by id";

const UPDATE_USERS: &str = "update users u set user_name = i.user_name, user_name_key = i.user_name_key, \
    external_id = i.external_id, given_name = i.given_name, family_name = i.family_name, \
    display_name = i.display_name, email = i.email, location = i.location, business_unit = i.business_unit, \
    department = i.department, job_title = i.job_title, manager_name = i.manager_name, \
    employee_number = i.employee_number, locale = i.locale, timezone = i.timezone, role = i.role, \
    origin = i.origin, archived_at = i.archived_at, resource = i.resource, version = i.version, ticket = i.ticket, \
    created_ticket = i.created_ticket, modified_at = i.modified_at from input i where u.id = i.id";

const INSERT_COMMANDS: &str = "insert into commands (id, tenant_id, change, resource_id, actor, request_id, \
    fingerprint, state, status, outcome, issued_at, decided_at) select id, tenant_id, change, resource_id, actor, \
    request_id, fingerprint, state, status, outcome, issued_at, decided_at from input order by id";

const UPDATE_COMMANDS: &str = "update commands c set state = i.state, status = i.status, outcome = i.outcome, \
    decided_at = coalesce(c.decided_at, i.decided_at) from input i where c.id = i.id";

const INSERT_EVENTS: &str =
    "insert into outbox (kind, event) select kind, event from input order by position";

/// Saves what the fold changed. All statements are sent at once (pipelined); an empty one is left out.
///
/// # Errors
/// [`Error::Taken`] when somebody else was first with a name or a command: load and fold again.
pub async fn save(connection: &AsyncPgConnection, state: &State) -> Result<(), Error> {
    let (mut gone, mut changed, mut new) = (Vec::new(), Vec::<&UserRow>::new(), Vec::<&UserRow>::new());
    for slot in state.users.values() {
        match (&slot.stored, &slot.current) {
            (Some(stored), None) => gone.push(stored.id),
            (Some(stored), Some(current)) if stored != current => changed.push(current),
            (None, Some(current)) => new.push(current),
            _ => {}
        }
    }
    let entries = || state.inbox.iter().filter(|(_, entry)| entry.changed);
    let new_commands: Vec<CommandRow> =
        entries().filter(|(_, e)| !e.stored).filter_map(|(t, e)| inserted(*t, e, state.now)).collect();
    let old_commands: Vec<VerdictRow> =
        entries().filter(|(_, e)| e.stored).map(|(t, e)| VerdictRow::of(*t, e, state.now)).collect();
    let events: Vec<OutboxRow> = (0..).zip(&state.events).map(OutboxRow::of).collect();

    // All are awaited, so that none is left half-read when one of them fails.
    let (gone, changed, new, new_commands, old_commands, events) = futures_util::join!(
        delete_users(connection, gone),
        execute(connection, "users", &changed, UPDATE_USERS),
        execute(connection, "users", &new, INSERT_USERS),
        execute(connection, "commands", &new_commands, INSERT_COMMANDS),
        execute(connection, "commands", &old_commands, UPDATE_COMMANDS),
        execute(connection, "outbox", &events, INSERT_EVENTS),
    );
    // The first failure is the cause: after it Postgres refuses the rest of the transaction.
    gone.and(changed).and(new).and(new_commands).and(old_commands).and(events)
}

async fn delete_users(mut connection: &AsyncPgConnection, ids: Vec<Uuid>) -> Result<(), Error> {
    if !ids.is_empty() {
        diesel::delete(users::table.filter(users::id.eq_any(ids))).execute(&mut connection).await?;
    }
    Ok(())
}

async fn execute<T: Serialize>(
    mut connection: &AsyncPgConnection,
    table: &'static str,
    rows: &[T],
    statement: &'static str,
) -> Result<(), Error> {
    if !rows.is_empty() {
        Rows::new(table, rows, statement)?.execute(&mut connection).await?;
    }
    Ok(())
}

/// A new row of `commands`.
#[derive(Serialize)]
struct CommandRow {
    tenant_id: Uuid,
    change: &'static str,
    resource_id: Uuid,
    actor: String,
    request_id: Uuid,
    fingerprint: String,
    #[serde(with = "time::serde::rfc3339")]
    issued_at: OffsetDateTime,
    #[serde(flatten)]
    verdict: VerdictRow,
}

/// The part of a row of `commands` that a verdict fills.
#[derive(Serialize)]
struct VerdictRow {
    id: Uuid,
    state: &'static str,
    status: Option<u16>,
    outcome: Option<Value>,
    #[serde(with = "time::serde::rfc3339")]
    decided_at: OffsetDateTime,
}

impl VerdictRow {
    fn of(ticket: Ticket, entry: &Entry, now: OffsetDateTime) -> Self {
        Self {
            id: ticket.0,
            state: if entry.unclaimed { "unclaimed" } else { "decided" },
            status: entry.outcome.as_ref().map(shared::outcome::Outcome::status),
            outcome: entry.outcome.as_ref().and_then(|outcome| serde_json::to_value(outcome).ok()),
            decided_at: now,
        }
    }
}

fn inserted(ticket: Ticket, entry: &Entry, now: OffsetDateTime) -> Option<CommandRow> {
    let command = entry.command.as_ref()?;
    Some(CommandRow {
        tenant_id: command.tenant,
        change: command.change.name(),
        resource_id: command.resource,
        actor: match command.actor {
            Actor::Key(id) => id.to_string(),
            Actor::Operator => "operator".to_owned(),
        },
        request_id: command.request,
        fingerprint: command.fingerprint.as_str().to_owned(),
        issued_at: command.issued_at,
        verdict: VerdictRow::of(ticket, entry, now),
    })
}

/// A new row of `outbox`; `position` only keeps the order, the database gives its own.
#[derive(Serialize)]
struct OutboxRow<'a> {
    position: i64,
    kind: &'a str,
    event: &'a Event,
}

impl<'a> OutboxRow<'a> {
    fn of((position, event): (i64, &'a Event)) -> Self {
        Self { position, kind: &event.kind, event }
    }
}

//! Saving: the difference that the fold made, in the order that unique names and references need: gone, changed, new.

mod commands;
mod members;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::event::Event;
use shared::postgres::groups::GroupRow;
use shared::postgres::schema::{groups, users};
use shared::postgres::users::UserRow;
use shared::postgres::{Error, Rows};
use uuid::Uuid;

use crate::fold::{Row, State};

const INSERT_USERS: &str = "insert into users (id, tenant_id, user_name, user_name_key, external_id, given_name, \
    family_name, display_name, email, location, business_unit, department, job_title, manager_name, employee_number, \
    locale, timezone, role, origin, archived_at, resource, folded, folded_version, version, ticket, created_ticket, \
    created_at, modified_at, hire_date, region, custom_fields, pull_ticket, linked_at) \
    select id, tenant_id, user_name, user_name_key, external_id, given_name, family_name, display_name, email, \
    location, business_unit, department, job_title, manager_name, employee_number, locale, timezone, role, origin, \
    archived_at, resource, folded, version, version, ticket, ticket, created_at, modified_at, hire_date, region, \
    custom_fields, pull_ticket, linked_at from input order by tenant_id, user_name_key";

const UPDATE_USERS: &str = "update users u set user_name = i.user_name, user_name_key = i.user_name_key, \
    external_id = i.external_id, given_name = i.given_name, family_name = i.family_name, \
    display_name = i.display_name, email = i.email, location = i.location, business_unit = i.business_unit, \
    department = i.department, job_title = i.job_title, manager_name = i.manager_name, \
    employee_number = i.employee_number, locale = i.locale, timezone = i.timezone, role = i.role, \
    origin = i.origin, archived_at = i.archived_at, resource = i.resource, folded = i.folded, \
    folded_version = i.version, version = i.version, ticket = i.ticket, modified_at = i.modified_at, \
    hire_date = i.hire_date, region = i.region, custom_fields = i.custom_fields, pull_ticket = i.pull_ticket, \
    linked_at = i.linked_at from input i where u.id = i.id";

const INSERT_GROUPS: &str = "insert into groups (id, tenant_id, display_name, external_id, resource, folded, \
    folded_version, member_count, version, ticket, created_at, modified_at) select id, tenant_id, display_name, \
    external_id, resource, folded, version, member_count, version, ticket, created_at, modified_at \
    from input order by id";

const UPDATE_GROUPS: &str = "update groups g set display_name = i.display_name, external_id = i.external_id, \
    resource = i.resource, folded = i.folded, folded_version = i.version, member_count = i.member_count, \
    version = i.version, ticket = i.ticket, modified_at = i.modified_at from input i where g.id = i.id";

const INSERT_EVENTS: &str =
    "insert into outbox (kind, event) select kind, event from input order by position";

/// Saves what the fold changed. All statements are sent at once (pipelined); an empty one is left out.
///
/// # Errors
/// [`Error::Taken`] when somebody else was first with a name or a command, [`Error::Contention`] when a row is gone that
/// another refers to: load and fold again.
pub async fn save(connection: &AsyncPgConnection, state: &State) -> Result<(), Error> {
    let (users, groups) = (difference::<UserRow>(state)?, difference::<GroupRow>(state)?);
    let members = members::changes(state);
    let commands = commands::changes(state);
    let events: Vec<OutboxRow> = (0..).zip(&state.events).map(OutboxRow::of).collect();

    // All are awaited, so that none is left half-read when one of them fails.
    let done = futures_util::join!(
        delete_users(connection, users.gone),
        execute(connection, "users", &users.changed, UPDATE_USERS),
        execute(connection, "users", &users.new, INSERT_USERS),
        delete_groups(connection, groups.gone),
        execute(connection, "groups", &groups.changed, UPDATE_GROUPS),
        execute(connection, "groups", &groups.new, INSERT_GROUPS),
        execute(connection, "group_members", &members.left, members::KEEP),
        execute(connection, "group_members", &members.removed, members::DELETE),
        call_and_add(connection, &members),
        execute(connection, "commands", &commands.new, commands::INSERT),
        execute(connection, "commands", &commands.changed, commands::UPDATE),
        execute(connection, "outbox", &events, INSERT_EVENTS),
    );
    let done: [Result<(), Error>; 12] = done.into();
    // After the first failure Postgres refuses the rest of the transaction.
    Error::cause(done.into_iter().filter_map(Result::err)).map_or(Ok(()), Err)
}

/// What became of the rows of one table.
struct Difference<'a, R> {
    gone: Vec<Uuid>,
    changed: Vec<Folded<'a, R>>,
    new: Vec<Folded<'a, R>>,
}

/// A row with the form of its resource that filters compare.
#[derive(Serialize)]
struct Folded<'a, R> {
    #[serde(flatten)]
    row: &'a R,
    folded: Map<String, Value>,
}

fn difference<R: Row>(state: &State) -> Result<Difference<'_, R>, Error> {
    let mut difference = Difference { gone: Vec::new(), changed: Vec::new(), new: Vec::new() };
    for slot in R::slots(state).values() {
        match (&slot.stored, &slot.current) {
            (Some(stored), None) => difference.gone.push(stored.id()),
            (Some(stored), Some(current)) if stored != current => {
                difference.changed.push(folded(state, current)?);
            }
            (None, Some(current)) => difference.new.push(folded(state, current)?),
            _ => {}
        }
    }
    Ok(difference)
}

fn folded<'a, R: Row>(state: &State, row: &'a R) -> Result<Folded<'a, R>, Error> {
    let tenant = state.tenants.get(&row.tenant());
    let tenant = tenant.ok_or_else(|| Error::Unknown("a changed row's tenant is not loaded".to_owned()))?;
    Ok(Folded { row, folded: row.folded(&tenant.types)? })
}

async fn delete_users(mut connection: &AsyncPgConnection, ids: Vec<Uuid>) -> Result<(), Error> {
    if !ids.is_empty() {
        diesel::delete(users::table.filter(users::id.eq_any(ids))).execute(&mut connection).await?;
    }
    Ok(())
}

async fn delete_groups(mut connection: &AsyncPgConnection, ids: Vec<Uuid>) -> Result<(), Error> {
    if !ids.is_empty() {
        diesel::delete(groups::table.filter(groups::id.eq_any(ids))).execute(&mut connection).await?;
    }
    Ok(())
}

/// Seldom both.
async fn call_and_add(connection: &AsyncPgConnection, members: &members::Changes) -> Result<(), Error> {
    execute(connection, "group_members", &members.recalled, members::CALL).await?;
    execute(connection, "group_members", &members.added, members::INSERT).await
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

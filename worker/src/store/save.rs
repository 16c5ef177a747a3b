//! Saves the fold's changes in the order that unique names and foreign keys require: deletes, updates, inserts.

mod commands;
mod forget;
mod members;

use database::groups::GroupRow;
use database::schema::{groups, users};
use database::users::UserRow;
use database::{Error, Rows};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::event::Event;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use self::forget::Forgotten;
use crate::fold::{Row, State};

const INSERT_USERS: &str = "insert into users (id, tenant_id, user_name_key, role, origin, archived_at, resource, search, \
    search_version, version, ticket, created_ticket, created_at, modified_at, hire_date, region, custom_fields, \
    pull_ticket, linked_at) select id, tenant_id, user_name_key, role, origin, archived_at, resource, search, version, \
    version, ticket, ticket, created_at, modified_at, hire_date, region, custom_fields, pull_ticket, linked_at \
    from input order by tenant_id, user_name_key";

const UPDATE_USERS: &str = "update users u set user_name_key = i.user_name_key, role = i.role, origin = i.origin, \
    archived_at = i.archived_at, resource = i.resource, search = i.search, search_version = i.version, \
    version = i.version, ticket = i.ticket, modified_at = i.modified_at, hire_date = i.hire_date, region = i.region, \
    custom_fields = i.custom_fields, pull_ticket = i.pull_ticket, linked_at = i.linked_at \
    from input i where u.id = i.id";

const INSERT_GROUPS: &str = "insert into groups (id, tenant_id, resource, search, search_version, member_count, version, \
    ticket, created_at, modified_at) select id, tenant_id, resource, search, version, member_count, version, ticket, \
    created_at, modified_at from input order by id";

const UPDATE_GROUPS: &str = "update groups g set resource = i.resource, search = i.search, search_version = i.version, \
    member_count = i.member_count, version = i.version, ticket = i.ticket, modified_at = i.modified_at \
    from input i where g.id = i.id";

const INSERT_EVENTS: &str =
    "insert into outbox (kind, event) select kind, event from input order by position";

/// Saves what the fold changed. All statements are pipelined; those without rows are skipped.
///
/// # Errors
/// [`Error::Taken`] if a concurrent transaction took a name or decided a command first, [`Error::Contention`] if a
/// referenced row was deleted. In both cases the caller must load and fold again.
pub async fn save(connection: &AsyncPgConnection, state: &State) -> Result<(), Error> {
    let (users, groups) = (difference::<UserRow>(state)?, difference::<GroupRow>(state)?);
    let members = members::changes(state);
    let commands = commands::changes(state);
    let events: Vec<OutboxRow> = (0..).zip(&state.events).map(OutboxRow::of).collect();

    // All are awaited, so that a failure leaves no response half-read.
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
        insert_and_update(connection, &commands),
        execute(connection, "recent_resources", &commands.resources, commands::INSERT_RESOURCES),
        execute(connection, "outbox", &events, INSERT_EVENTS),
    );
    let done: [Result<(), Error>; 12] = done.into();
    // After the first failure Postgres rejects the rest of the transaction.
    Error::cause(done.into_iter().filter_map(Result::err)).map_or(Ok(()), Err)?;
    forget::forget(connection, &Forgotten::of(state)).await
}

/// The changed rows of one table.
struct Difference<'a, R> {
    gone: Vec<Uuid>,
    changed: Vec<Searchable<'a, R>>,
    new: Vec<Searchable<'a, R>>,
}

/// A row with its search document.
#[derive(Serialize)]
struct Searchable<'a, R> {
    #[serde(flatten)]
    row: &'a R,
    search: Map<String, Value>,
}

fn difference<R: Row>(state: &State) -> Result<Difference<'_, R>, Error> {
    let mut difference = Difference { gone: Vec::new(), changed: Vec::new(), new: Vec::new() };
    for slot in R::slots(state).values() {
        match (&slot.stored, &slot.current) {
            (Some(stored), None) => difference.gone.push(stored.id()),
            (Some(stored), Some(current)) if stored != current => {
                difference.changed.push(searchable(state, current)?);
            }
            (None, Some(current)) => difference.new.push(searchable(state, current)?),
            _ => {}
        }
    }
    Ok(difference)
}

fn searchable<'a, R: Row>(state: &State, row: &'a R) -> Result<Searchable<'a, R>, Error> {
    let tenant = state.tenants.get(&row.tenant());
    let tenant = tenant.ok_or_else(|| Error::Unknown("a changed row's tenant is not loaded".to_owned()))?;
    Ok(Searchable { row, search: row.search_document(&tenant.types)? })
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

/// Updates before inserts. A batch rarely contains both.
async fn call_and_add(
    connection: &AsyncPgConnection,
    members: &members::MembershipChanges,
) -> Result<(), Error> {
    execute(connection, "group_members", &members.recalled, members::CALL).await?;
    execute(connection, "group_members", &members.added, members::INSERT).await
}

/// One after the other: a batch rarely contains both.
async fn insert_and_update(
    connection: &AsyncPgConnection,
    commands: &commands::CommandChanges<'_>,
) -> Result<(), Error> {
    execute(connection, "commands", &commands.new, commands::INSERT).await?;
    execute(connection, "commands", &commands.changed, commands::UPDATE).await
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

/// A new row of `outbox`. `position` only orders the input; the database assigns its own.
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

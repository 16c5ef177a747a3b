//! Loads groups and their members.
//!
//! Locking keeps memberships and counts consistent. A transaction that adds a user as a member holds a key share lock
//! on the user's row until the commit; a deletion holds the row for update. Once a deletion has its lock, all
//! memberships of the user are committed, and it locks their groups next. Once an addition has its lock, the user
//! cannot be deleted. Members of a group change only under the lock of the group's row, and are read after it is taken.

use std::collections::BTreeSet;

use database::Error;
use database::groups::GroupRow;
use database::schema::{group_members, groups, users};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::ids;
use crate::fold::{MAX_SEARCHED, Members, Person, Slot, State};
use crate::store::RowKeys;

/// A membership: the group, the user, and the client's `display` for the user.
type Membership = (Uuid, Uuid, Option<String>);
/// A user's id, tenant, displayName and userName.
pub(super) type Called = (Uuid, Uuid, Option<String>, String);

/// A user who can be a member.
pub(super) fn person((id, tenant, display_name, user_name): Called) -> (Uuid, Person) {
    (id, Person { tenant, display: display_name.unwrap_or(user_name) })
}

/// Loads and locks the groups that the batch changes, those that a retried request may be answered with, and those of
/// users that the batch deletes.
pub(super) async fn load(
    connection: &AsyncPgConnection,
    keys: &RowKeys,
    undelivered: &BTreeSet<Uuid>,
    state: &mut State,
) -> Result<(), Error> {
    if keys.groups.is_empty() && keys.deleted.is_empty() {
        return Ok(());
    }
    let left = load_left(connection, keys).await?;
    let left_groups = left.iter().map(|pair| &pair.0);
    let touched: BTreeSet<Uuid> = keys.groups.iter().chain(undelivered).chain(left_groups).copied().collect();
    let own = groups::tenant_id.eq_any(ids(&keys.tenants));
    let query = groups::table.filter(groups::id.eq_any(ids(&touched)).and(own)).order(groups::id);
    let rows: Vec<GroupRow> =
        query.select(GroupRow::as_select()).for_update().load(&mut { connection }).await?;
    state.members = rows.iter().map(|row| (row.id, Members::default())).collect();
    state.groups = rows.into_iter().map(|row| (row.id, Slot::loaded(row))).collect();

    // Read again: users may have left the groups before these were locked.
    let (named, searched) = futures_util::join!(
        load_pairs(connection, keys.pairs.iter().copied().chain(left).unzip()),
        load_searched(connection, keys),
    );
    let failures = [named.as_ref().err(), searched.as_ref().err()];
    if let Some(cause) = Error::cause(failures.into_iter().flatten().cloned()) {
        return Err(cause);
    }
    for (group, user, display) in named? {
        insert(state, group, user, display);
    }
    for (id, members) in &mut state.members {
        let row = state.groups.get(id).and_then(|slot| slot.stored.as_ref());
        members.is_whole =
            keys.searched.contains(id) && row.is_some_and(|row| row.member_count <= MAX_SEARCHED);
    }
    for (group, display, called) in searched? {
        insert(state, group, called.0, display);
        state.people.extend([person(called)]);
    }
    Ok(())
}

/// Adds a membership from the database.
fn insert(state: &mut State, group: Uuid, user: Uuid, display: Option<String>) {
    let members = state.members.entry(group).or_default();
    members.stored.insert(user);
    members.displays.extend(display.map(|display| (user, display)));
}

/// The memberships of the users that the batch deletes.
async fn load_left(mut connection: &AsyncPgConnection, keys: &RowKeys) -> Result<Vec<(Uuid, Uuid)>, Error> {
    if keys.deleted.is_empty() {
        return Ok(Vec::new());
    }
    let query = group_members::table.filter(group_members::user_id.eq_any(ids(&keys.deleted)));
    Ok(query.select((group_members::group_id, group_members::user_id)).load(&mut connection).await?)
}

/// Which of these pairs are memberships, with the client's `display`.
async fn load_pairs(
    mut connection: &AsyncPgConnection,
    (groups, users): (Vec<Uuid>, Vec<Uuid>),
) -> Result<Vec<Membership>, Error> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Pairs { groups, users }.load(&mut connection).await?)
}

/// All members of the groups whose members are searched, unless a group is too large.
async fn load_searched(
    mut connection: &AsyncPgConnection,
    keys: &RowKeys,
) -> Result<Vec<(Uuid, Option<String>, Called)>, Error> {
    if keys.searched.is_empty() {
        return Ok(Vec::new());
    }
    let called = (users::id, users::tenant_id, users::display_name, users::user_name);
    let columns = (group_members::group_id, group_members::display, called);
    let query = group_members::table
        .inner_join(groups::table.on(groups::id.eq(group_members::group_id)))
        .inner_join(users::table.on(users::id.eq(group_members::user_id)))
        .filter(groups::id.eq_any(ids(&keys.searched)))
        .filter(groups::member_count.le(MAX_SEARCHED))
        .select(columns);
    Ok(query.load(&mut connection).await?)
}

/// The memberships among these pairs of a group and a user. Diesel's query builder could only ask for every combination
/// of the groups and the users.
#[derive(Debug, Clone)]
struct Pairs {
    groups: Vec<Uuid>,
    users: Vec<Uuid>,
}

impl QueryFragment<Pg> for Pairs {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("select m.group_id, m.user_id, m.display from unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.groups)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.users)?;
        out.push_sql(") named (group_id, user_id) join group_members m using (group_id, user_id)");
        Ok(())
    }
}

impl QueryId for Pairs {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Pairs {
    type SqlType = (SqlUuid, SqlUuid, Nullable<Text>);
}

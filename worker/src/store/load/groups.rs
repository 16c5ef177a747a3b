//! Loading groups and what must be known of their members.
//!
//! Why nobody is in a group who is not there, and no count is wrong: whoever adds a user holds a key share of that user's
//! row until the commit, whoever deletes one holds the row for update. So when the deletion has its lock, all memberships
//! of that user are committed, and the groups that they name are locked after it; and when the addition has its lock, the user
//! stays. Only who holds a group's row changes its members, and looks who they are after it has the lock.

use std::collections::BTreeSet;

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::postgres::Error;
use shared::postgres::groups::GroupRow;
use shared::postgres::schema::{group_members, groups, users};
use uuid::Uuid;

use super::ids;
use crate::fold::{MAX_SEARCHED, Members, Person, Slot, State};
use crate::store::Keys;

/// A membership: the group, the user, and what the client calls the user.
type Membership = (Uuid, Uuid, Option<String>);
/// A user's id, tenant, displayName and userName.
pub(super) type Called = (Uuid, Uuid, Option<String>, String);

/// Somebody who can be a member.
pub(super) fn person((id, tenant, display_name, user_name): Called) -> (Uuid, Person) {
    (id, Person { tenant, display: display_name.unwrap_or(user_name) })
}

/// Loads and locks the groups that the batch changes, those that a repeated request may be answered with, and those that
/// somebody is in whom it deletes.
pub(super) async fn load(
    connection: &AsyncPgConnection,
    keys: &Keys,
    unheard: &BTreeSet<Uuid>,
    state: &mut State,
) -> Result<(), Error> {
    if keys.groups.is_empty() && keys.deleted.is_empty() {
        return Ok(());
    }
    let left = load_left(connection, keys).await?;
    let left_groups = left.iter().map(|pair| &pair.0);
    let touched: BTreeSet<Uuid> = keys.groups.iter().chain(unheard).chain(left_groups).copied().collect();
    let own = groups::tenant_id.eq_any(ids(&keys.tenants));
    let query = groups::table.filter(groups::id.eq_any(ids(&touched)).and(own)).order(groups::id);
    let rows: Vec<GroupRow> =
        query.select(GroupRow::as_select()).for_update().load(&mut { connection }).await?;
    state.members = rows.iter().map(|row| (row.id, Members::default())).collect();
    state.groups = rows.into_iter().map(|row| (row.id, Slot::loaded(row))).collect();

    // Looked at again: until the groups were locked, somebody may have left them.
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

/// Notes a membership that there is.
fn insert(state: &mut State, group: Uuid, user: Uuid, display: Option<String>) {
    let members = state.members.entry(group).or_default();
    members.stored.insert(user);
    members.displays.extend(display.map(|display| (user, display)));
}

/// The memberships of those whom the batch deletes.
async fn load_left(mut connection: &AsyncPgConnection, keys: &Keys) -> Result<Vec<(Uuid, Uuid)>, Error> {
    if keys.deleted.is_empty() {
        return Ok(Vec::new());
    }
    let query = group_members::table.filter(group_members::user_id.eq_any(ids(&keys.deleted)));
    Ok(query.select((group_members::group_id, group_members::user_id)).load(&mut connection).await?)
}

/// Which of these pairs are memberships, and what the client calls the member.
async fn load_pairs(
    mut connection: &AsyncPgConnection,
    (groups, users): (Vec<Uuid>, Vec<Uuid>),
) -> Result<Vec<Membership>, Error> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Pairs { groups, users }.load(&mut connection).await?)
}

/// All members of the groups in which some are looked for by their names, but not of large ones.
async fn load_searched(
    mut connection: &AsyncPgConnection,
    keys: &Keys,
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

/// Those of these pairs of a group and a user that are memberships. In diesel's words this would be every one of the groups with
/// every one of the users.
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

//! The row of a group, and reading groups and memberships.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::record::record;
use super::schema::{group_members, groups, users};
use scim::{Record, Related};

/// A row of `groups`, without `search`, which is derived from `resource`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Serialize)]
#[diesel(table_name = groups, check_for_backend(diesel::pg::Pg))]
#[expect(missing_docs, reason = "the columns are described in the database")]
pub struct GroupRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub resource: Value,
    pub member_count: i64,
    pub version: i64,
    pub ticket: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub modified_at: OffsetDateTime,
}

impl GroupRow {
    /// The SCIM resource in the row, without its members.
    ///
    /// # Errors
    /// [`Error::Refused`] if the stored value is not a resource.
    pub fn record(&self) -> Result<Record, Error> {
        record((self.id, self.resource.clone(), self.created_at, self.modified_at, self.version))
    }
}

/// A tenant's group.
///
/// # Errors
/// See [`Error`].
pub async fn find(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<GroupRow>, Error> {
    let query = groups::table.filter(groups::tenant_id.eq(tenant)).filter(groups::id.eq(id));
    Ok(query.select(GroupRow::as_select()).first(connection).await.optional()?)
}

/// The number of a group's members.
///
/// # Errors
/// See [`Error`].
pub async fn member_count(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<i64>, Error> {
    let query = groups::table.filter(groups::tenant_id.eq(tenant)).filter(groups::id.eq(id));
    Ok(query.select(groups::member_count).first(connection).await.optional()?)
}

/// The candidates for a member's display name: as sent by the client, the displayName, the userName.
type Names = (Option<String>, Option<String>, String);

/// The members of these groups, by group, each list ordered by id. A member's display name is the one that the client
/// sent, else the displayName, else the userName.
///
/// # Errors
/// See [`Error`].
pub async fn members(
    connection: &mut AsyncPgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Related>>, Error> {
    let query = group_members::table
        .inner_join(users::table.on(users::id.eq(group_members::user_id)))
        .filter(group_members::group_id.eq_any(ids))
        .order((group_members::group_id, group_members::user_id))
        .select((
            group_members::group_id,
            users::id,
            (group_members::display, users::display_name, users::user_name),
        ));
    let rows: Vec<(Uuid, Uuid, Names)> = query.load(connection).await?;
    let named = |(group, id, (display, display_name, user_name)): (Uuid, Uuid, Names)| {
        (group, id, display.or(display_name).unwrap_or(user_name))
    };
    Ok(by_first(rows.into_iter().map(named)))
}

/// The total length of the members' display names of these groups and their number, by group. Empty groups are left out.
///
/// # Errors
/// See [`Error`].
pub async fn members_extent(
    connection: &mut AsyncPgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Extent>, Error> {
    const QUERY: &str = "select m.group_id as id, count(*) as number, \
         sum(octet_length(coalesce(m.display, u.display_name, u.user_name)))::bigint as bytes \
         from group_members m join users u on u.id = m.user_id where m.group_id = any($1) group by m.group_id";
    extent(connection, QUERY, ids).await
}

/// The total length of the names of the groups that these users are in and their number, by user. Users without groups
/// are left out.
///
/// # Errors
/// See [`Error`].
pub async fn groups_extent(
    connection: &mut AsyncPgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Extent>, Error> {
    const QUERY: &str = "select m.user_id as id, count(*) as number, sum(octet_length(g.display_name))::bigint as bytes \
         from group_members m join groups g on g.id = m.group_id where m.user_id = any($1) group by m.user_id";
    extent(connection, QUERY, ids).await
}

/// How large a list of references is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub struct Extent {
    /// The resource with the list.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// The number of references.
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    /// The total length of their names, in bytes.
    #[diesel(sql_type = BigInt)]
    pub bytes: i64,
}

async fn extent(
    connection: &mut AsyncPgConnection,
    query: &str,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Extent>, Error> {
    let rows: Vec<Extent> = diesel::sql_query(query).bind::<Array<SqlUuid>, _>(ids).load(connection).await?;
    Ok(rows.into_iter().map(|extent| (extent.id, extent)).collect())
}

/// The groups that these users are in, by user.
///
/// # Errors
/// See [`Error`].
pub async fn of_users(
    connection: &mut AsyncPgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Related>>, Error> {
    let query = group_members::table
        .inner_join(groups::table.on(groups::id.eq(group_members::group_id)))
        .filter(group_members::user_id.eq_any(ids))
        .order((group_members::user_id, group_members::group_id))
        .select((group_members::user_id, groups::id, groups::display_name));
    let rows: Vec<(Uuid, Uuid, String)> = query.load(connection).await?;
    Ok(by_first(rows.into_iter()))
}

/// The second end of each membership, by the first.
fn by_first(memberships: impl Iterator<Item = (Uuid, Uuid, String)>) -> HashMap<Uuid, Vec<Related>> {
    let mut related: HashMap<Uuid, Vec<Related>> = HashMap::new();
    for (first, id, display) in memberships {
        related.entry(first).or_default().push(Related { id, display });
    }
    related
}

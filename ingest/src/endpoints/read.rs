//! Reads resources with their computed attributes: a user's `groups`, a group's `members`.

use std::collections::HashMap;

use database::list::{PAGE_BYTES, Room};
use database::schema::groups::dsl;
use database::{Error, Pool, groups, users};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use scim::{Computed, Projection, Record, Related, Types};
use uuid::Uuid;

use super::kind::Kind;

/// The maximum total number of members of the groups on one page. A page with larger groups is shorter.
const MAX_MEMBERS: i64 = PAGE_BYTES / REFERENCE;

/// The size of a reference in a response without its name, in bytes: id, URL and type.
const REFERENCE: i64 = 200;

/// A resource, and its computed attribute if it was requested.
pub(super) type Seen = (Record, Option<Computed>);

/// Which members of a group are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Members {
    /// None: they are not returned.
    Hidden,
    /// All.
    All,
    /// All, or none if there are more than this.
    UpTo(i64),
}

impl Members {
    /// The members that the projection requires.
    pub(super) fn shown(projection: &Projection, types: &Types) -> Self {
        if shows(projection, Kind::Group, types) { Self::All } else { Self::Hidden }
    }
}

/// Whether the projection includes the computed attribute.
pub(super) fn shows(projection: &Projection, kind: Kind, types: &Types) -> bool {
    projection.shows(kind.resource_type(types), kind.computed())
}

/// One resource.
///
/// # Errors
/// If Postgres does not respond.
pub(super) async fn one(
    pool: &Pool,
    kind: Kind,
    tenant: Uuid,
    id: Uuid,
    projection: &Projection,
    types: &Types,
) -> Result<Option<Seen>, Error> {
    match kind {
        Kind::Group => {
            let found = group(pool, tenant, id, Members::shown(projection, types)).await?;
            Ok(found.map(|(record, members)| (record, members.map(Computed::Members))))
        }
        Kind::User => {
            let with_groups = shows(projection, kind, types);
            pool.bounded(async |c| {
                let Some(record) = users::find(c, tenant, id).await? else { return Ok(None) };
                let groups = if with_groups { Some(groups_of(c, id).await?) } else { None };
                Ok(Some((record, groups)))
            })
            .await
        }
    }
}

/// The groups of a user.
///
/// # Errors
/// If Postgres does not respond.
pub(super) async fn groups_of(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Computed, Error> {
    let mut groups = groups::of_users(connection, &[id]).await?;
    Ok(Computed::Groups(groups.remove(&id).unwrap_or_default()))
}

/// A group and its members, from one snapshot. Without members if they are hidden or too many.
///
/// # Errors
/// If Postgres does not respond.
pub(super) async fn group(
    pool: &Pool,
    tenant: Uuid,
    id: Uuid,
    wanted: Members,
) -> Result<Option<(Record, Option<Vec<Related>>)>, Error> {
    let read = async |c: &mut AsyncPgConnection| {
        let Some(row) = groups::find(c, tenant, id).await? else { return Ok(None) };
        let most = match wanted {
            Members::Hidden => -1,
            Members::All => i64::MAX,
            Members::UpTo(most) => most,
        };
        let members = if row.member_count <= most {
            Some(groups::members(c, &[id]).await?.remove(&id).unwrap_or_default())
        } else {
            None
        };
        Ok(Some((row.record()?, members)))
    };
    if wanted == Members::Hidden {
        return pool.bounded(read).await;
    }
    pool.bounded(async |c| c.build_transaction().repeatable_read().read_only().run(read).await).await
}

/// The size of a group's members in a response, in bytes, as far as it is known without reading them. `None` if there is
/// no such group.
///
/// # Errors
/// If Postgres does not respond.
pub(super) async fn members_size(pool: &Pool, tenant: Uuid, id: Uuid) -> Result<Option<usize>, Error> {
    let count = pool.bounded(async |c| groups::member_count(c, tenant, id).await).await?;
    Ok(count.map(|count| usize::try_from(count.saturating_mul(REFERENCE)).unwrap_or_default()))
}

/// How many of these resources, in this order, fit on one page with their computed attributes, and their total size:
/// as much as there is room for. `sizes` are their sizes without the attributes.
///
/// # Errors
/// If Postgres does not respond.
pub(super) async fn shown_together(
    connection: &mut AsyncPgConnection,
    kind: Kind,
    ids: &[Uuid],
    sizes: &[i64],
    room: Room,
) -> Result<(usize, i64), Error> {
    let (candidates, extents) = match kind {
        Kind::Group => {
            let few = with_few_members(connection, ids).await?;
            (few, groups::members_extent(connection, &ids[..few]).await?)
        }
        Kind::User => (ids.len(), groups::groups_extent(connection, ids).await?),
    };
    let (mut shown, mut total) = (0, 0);
    for (id, own) in ids.iter().zip(sizes).take(candidates) {
        let related = extents.get(id).map_or(0, |extent| extent.bytes + extent.number * REFERENCE);
        let takes_one = shown == 0 && room.takes_one;
        if !takes_one && total + own + related > room.bytes {
            break;
        }
        total += own + related;
        shown += 1;
    }
    Ok((shown, total))
}

/// How many of these groups, in this order, have at most [`MAX_MEMBERS`] in total; at least one.
async fn with_few_members(connection: &mut AsyncPgConnection, ids: &[Uuid]) -> Result<usize, Error> {
    let counted = dsl::groups.filter(dsl::id.eq_any(ids)).select((dsl::id, dsl::member_count));
    let counts: HashMap<Uuid, i64> = counted.load(connection).await?.into_iter().collect();
    let mut members = 0;
    let fits = ids.iter().take_while(|id| {
        members += counts.get(id).copied().unwrap_or_default();
        members <= MAX_MEMBERS
    });
    Ok(fits.count().max(1))
}

/// The computed attributes of a page's resources, by id.
///
/// # Errors
/// If Postgres does not respond.
pub(super) async fn computed(
    connection: &mut AsyncPgConnection,
    kind: Kind,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Related>>, Error> {
    match kind {
        Kind::User => groups::of_users(connection, ids).await,
        Kind::Group => groups::members(connection, ids).await,
    }
}

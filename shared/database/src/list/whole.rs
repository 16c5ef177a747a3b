//! Pages by position of a list without a filter: the total and the page in one statement.
//!
//! Total and page come from one snapshot, so the page can be read from the nearer end of the list: the last page costs
//! as much as the first. Counting and skipping are index-only scans of the partial index `users_listed` (`groups_list`
//! for groups). The rows are found by an array of ids, for which Postgres plans an index scan whatever its statistics
//! say; a join with a LIMIT that is not constant is planned for a tenth of the table.

use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::room::{Bounded, Rows, bounded};
use super::sql::{self, Sql};
use super::{List, Page, Room};
use crate::Error;

/// The page at this position. `count` is at least 1.
pub(super) async fn read(
    list: &List,
    connection: &mut AsyncPgConnection,
    offset: i64,
    count: i64,
    room: Room,
) -> Result<Page, Error> {
    let found = statement(list, offset, count, room).load(connection).await?;
    let Rows { page, is_cut } = Rows::of(found, room)?;
    // Beyond the end no row contains the total.
    let total = match page.total {
        Some(total) => total,
        None => list.count(connection).await?,
    };
    let length = i64::try_from(page.records.len()).unwrap_or(i64::MAX);
    let has_more = is_cut || length > 0 && offset.saturating_add(length) < total;
    Ok(Page { total: Some(total), has_more, ..page })
}

fn statement(list: &List, offset: i64, count: i64, room: Room) -> Bounded {
    let (forwards, backwards, key) = match &list.order {
        None => (Sql::default(), Sql::default(), Sql::from("null::jsonb")),
        Some(order) => {
            let by = |direction: &'static str| Sql::fill("? ?, ", [order.key.clone(), direction.into()]);
            let key = Sql::fill("to_jsonb(?)", [order.key.clone()]);
            (by(order.direction()), by(order.opposite()), key)
        }
    };
    let cut = Sql::fill(
        "with counted as materialized (select count(*) as total from ?), \
         cut as materialized (select total, before, length, total - before - length as behind from \
         (select total, ?::bigint as before, least(?::bigint, greatest(total - ?::bigint, 0)) as length from counted) c)",
        [listed(list), sql::integer(offset), sql::integer(count), sql::integer(offset)],
    );
    let from_start = Sql::fill(
        "select r.id from ? order by ?r.id \
         limit (select case when before <= behind then length else 0 end from cut) \
         offset (select before from cut)",
        [listed(list), forwards.clone()],
    );
    let from_end = Sql::fill(
        "select r.id from ? order by ?r.id desc \
         limit (select case when before <= behind then 0 else length end from cut) \
         offset (select greatest(behind, 0) from cut)",
        [listed(list), backwards],
    );
    let rows = Sql::fill(
        "? select r.id, r.resource, r.created_at, r.modified_at, r.version, ? as key, (select total from cut) as total, \
         row_number() over (order by ?r.id) as nth \
         from ? r where r.tenant_id = ? and r.id = any(array((?) union all (?)))",
        [cut, key, forwards, list.table.name().into(), sql::uuid(list.tenant), from_start, from_end],
    );
    bounded(rows, room, list.is_plain())
}

/// The listed resources.
fn listed(list: &List) -> Sql {
    Sql::fill(
        "? r where r.tenant_id = ? and ?",
        [list.table.name().into(), sql::uuid(list.tenant), list.condition()],
    )
}

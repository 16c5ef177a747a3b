//! Pages by position of a list without a filter: the total and the page in one statement.
//!
//! Total and page come from one snapshot, so the page can be read from the nearer end of the list: the last page costs
//! as much as the first. Counting and skipping are index-only scans of the partial index `users_listed` (`groups_list`
//! for groups). The rows are found by an array of ids, for which Postgres plans an index scan whatever its statistics
//! say; a join with a LIMIT that is not constant is planned for a tenth of the table.

use diesel::sql_types::{BigInt, Jsonb, Nullable, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::sql::{self, Sql, Statement};
use super::{List, Page};
use crate::Error;
use crate::record::record;

type WholeStatement = Statement<(SqlUuid, Jsonb, Timestamptz, Timestamptz, BigInt, Nullable<Jsonb>, BigInt)>;
type Found = (Uuid, Value, OffsetDateTime, OffsetDateTime, i64, Option<Value>, i64);

/// The page at this position. `count` is at least 1.
pub(super) async fn read(
    list: &List,
    connection: &mut AsyncPgConnection,
    offset: i64,
    count: i64,
) -> Result<Page, Error> {
    let found: Vec<Found> = statement(list, offset, count).load(connection).await?;
    let (mut records, mut keys) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    let mut found_total = None;
    for (id, resource, created, modified, version, key, total) in found {
        records.push(record((id, resource, created, modified, version))?);
        keys.push(key.unwrap_or_default());
        found_total = Some(total);
    }
    // Beyond the end no row contains the total.
    let total = match found_total {
        Some(total) => total,
        None => list.count(connection).await?,
    };
    let length = i64::try_from(records.len()).unwrap_or(i64::MAX);
    let has_more = length > 0 && offset.saturating_add(length) < total;
    Ok(Page { records, keys, total: Some(total), has_more })
}

fn statement(list: &List, offset: i64, count: i64) -> WholeStatement {
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
        "? select r.id, r.resource, r.created_at, r.modified_at, r.version, ?, (select total from cut) \
         from ? r where r.tenant_id = ? and r.id = any(array((?) union all (?))) order by ?r.id",
        [cut, key, list.table.name().into(), sql::uuid(list.tenant), from_start, from_end, forwards],
    );
    Statement::new(rows, list.is_plain())
}

/// The listed resources.
fn listed(list: &List) -> Sql {
    Sql::fill(
        "? r where r.tenant_id = ? and ?",
        [list.table.name().into(), sql::uuid(list.tenant), list.condition()],
    )
}

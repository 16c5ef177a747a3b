//! Reads one page of a list.
//!
//! A page is found among ids, which the indexes contain, and only its rows are read in full: rows are wide, and OFFSET
//! would read every skipped row.

use std::time::{Duration, Instant};

use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::room::{Bounded, Rows, bounded};
use super::sql::{self, Sql};
use super::{List, Mark, Page, Room, Slice, cost, whole};
use crate::{Error, Limits};

/// The time limit of a whole list in the order of an index. It is less than that of an operation on Postgres.
const WHOLE: Duration = Duration::from_secs(8);
/// The time limit of other lists. Who repeats them occupies a connection for as long.
const OTHERS: Duration = Duration::from_secs(2);
/// How long a list waits for a lock: less than its time limit, so that it does not count as too broad.
const LOCK: Duration = Duration::from_secs(1);
/// The time left for counting if finding the page took almost all.
const LEAST: Duration = Duration::from_millis(500);

/// See [`List::page`].
pub(super) async fn read(
    list: &List,
    connection: &mut AsyncPgConnection,
    slice: Slice,
    room: Room,
) -> Result<Page, Error> {
    if list.is_plain() {
        return read_slice(list, connection, slice, room, None).await;
    }
    let start = Instant::now();
    let most = if list.is_whole && list.terms == 0 { WHOLE } else { OTHERS };
    let read = connection.transaction(async |connection| {
        // JIT compilation pays only for thousands of rows, which do not fit into so short a time.
        let limits = Limits { statement: most, lock: LOCK }.of_transaction();
        connection.batch_execute(&format!("set local jit = off; {limits}")).await?;
        cost::check(list, connection).await?;
        let page = read_slice(list, connection, slice, room, Some(start + most)).await?;
        // The rest of the transaction has its own limits.
        connection.batch_execute(&Limits::SERVICE.of_transaction()).await?;
        Ok(page)
    });
    match read.await {
        // Unless an administrator cancelled it earlier.
        Err(Error::Cancelled) if start.elapsed() >= most => Err(Error::TooBroad),
        read => read,
    }
}

async fn read_slice(
    list: &List,
    connection: &mut AsyncPgConnection,
    slice: Slice,
    room: Room,
    end: Option<Instant>,
) -> Result<Page, Error> {
    let count = slice.count();
    if list.is_whole
        && count > 0
        && let Some(offset) = slice.offset()
    {
        return whole::read(list, connection, offset, count, room).await;
    }
    let (before, found) = match &slice {
        Slice::After { last: Some(last), .. } => (None, after(list, connection, last, count, room).await?),
        Slice::After { is_counted: false, .. } => {
            let statement = statement(list, list.condition(), None, count, room);
            (None, load(statement, connection, room).await?)
        }
        Slice::Index { .. } | Slice::After { .. } => {
            let offset = slice.offset().unwrap_or_default();
            (Some(offset), by_index(list, connection, offset, count, room).await?)
        }
    };
    let Rows { mut page, is_cut } = found;
    page.has_more = is_cut;
    // One more than requested was read, to see whether more follow.
    page.shorten(usize::try_from(count).unwrap_or_default());
    let length = i64::try_from(page.records.len()).unwrap_or(i64::MAX);
    if !slice.is_counted() {
        return Ok(page);
    }
    // The last page determines the total, unless it is beyond the end.
    let total = match before {
        Some(before) if !page.has_more && count > 0 && (before == 0 || length > 0) => before + length,
        _ => {
            if let Some(end) = end {
                let left = end.saturating_duration_since(Instant::now()).max(LEAST);
                connection.batch_execute(&limit(left)).await?;
            }
            list.count(connection).await?
        }
    };
    if count == 0
        && let Some(before) = before
    {
        page.has_more = before < total;
    }
    page.total = Some(total);
    Ok(page)
}

async fn load(statement: Bounded, connection: &mut AsyncPgConnection, room: Room) -> Result<Rows, Error> {
    Rows::of(statement.load(connection).await?, room)
}

async fn by_index(
    list: &List,
    connection: &mut AsyncPgConnection,
    offset: i64,
    count: i64,
    room: Room,
) -> Result<Rows, Error> {
    if count == 0 {
        return Ok(Rows::default());
    }
    load(statement(list, list.condition(), Some(offset), count, room), connection, room).await
}

async fn after(
    list: &List,
    connection: &mut AsyncPgConnection,
    last: &Mark,
    count: i64,
    room: Room,
) -> Result<Rows, Error> {
    let mut found = Rows::default();
    for condition in conditions_after(list, last) {
        let missing = count - i64::try_from(found.page.records.len()).unwrap_or(i64::MAX);
        if missing >= 0 && !found.is_cut {
            let condition = Sql::fill("? and ?", [condition, list.condition()]);
            let left = found.left(room);
            found.extend(load(statement(list, condition, None, missing, left), connection, left).await?);
        }
    }
    Ok(found)
}

/// The resources after the mark, as conditions that indexes can answer one by one: those with a sort key and those
/// without. Empty if the mark is not one of this list.
fn conditions_after(list: &List, last: &Mark) -> Vec<Sql> {
    let later = || Sql::fill("r.id > ?", [sql::uuid(last.id)]);
    let Some(order) = &list.order else { return vec![later()] };
    let key = || order.key.clone();
    let gaps = || Sql::fill("? is null", [key()]);
    if last.key.is_null() {
        let later_gaps = Sql::fill("? is null and ?", [key(), later()]);
        let others = order.descending.then(|| Sql::fill("? is not null", [key()]));
        return std::iter::once(later_gaps).chain(others).collect();
    }
    let Some(bound) = order.bind(&last.key) else { return Vec::new() };
    let parts = [key(), bound.clone(), key(), bound, later()];
    let beyond = match order.descending {
        false => Sql::fill("? >= ? and (? > ? or ?)", parts),
        true => Sql::fill("? <= ? and (? < ? or ?)", parts),
    };
    let gaps = (order.has_gaps && !order.descending).then(gaps);
    std::iter::once(beyond).chain(gaps).collect()
}

/// The rows that satisfy a condition, in order: one more than requested, to see whether more follow, if they fit.
fn statement(list: &List, condition: Sql, offset: Option<i64>, count: i64, room: Room) -> Bounded {
    let table = || Sql::from(list.table.name());
    let limit = match offset {
        None => Sql::fill("limit ?", [sql::integer(count.saturating_add(1))]),
        Some(offset) => {
            Sql::fill("limit ? offset ?", [sql::integer(count.saturating_add(1)), sql::integer(offset)])
        }
    };
    let (key, inner, outer, returned_key) = match &list.order {
        None => (Sql::default(), Sql::default(), Sql::default(), "null::jsonb"),
        Some(order) => {
            let by = |key: &'static str| Sql::fill("? ?, ", [key.into(), order.direction().into()]);
            (Sql::fill(", ? as k", [order.key.clone()]), by("k"), by("p.k"), "to_jsonb(p.k)")
        }
    };
    let ids = Sql::fill(
        "select r.id? from ? r where r.tenant_id = ? and ? order by ?r.id ?",
        [key, table(), sql::uuid(list.tenant), condition, inner, limit],
    );
    let rows = Sql::fill(
        "select t.id, t.resource, t.created_at, t.modified_at, t.version, ? as key, null::bigint as total, \
         row_number() over (order by ?p.id) as nth from (?) p join ? t on t.id = p.id and t.tenant_id = ?",
        [returned_key.into(), outer, ids, table(), sql::uuid(list.tenant)],
    );
    bounded(rows, room, list.is_plain())
}

impl Slice {
    fn count(&self) -> i64 {
        match self {
            Self::Index { count, .. } | Self::After { count, .. } => *count,
        }
    }

    fn is_counted(&self) -> bool {
        match self {
            Self::Index { .. } => true,
            Self::After { is_counted, .. } => *is_counted,
        }
    }

    /// Its position, if the total is counted anyway.
    fn offset(&self) -> Option<i64> {
        match self {
            Self::Index { offset, .. } => Some(*offset),
            Self::After { last: None, is_counted: true, .. } => Some(0),
            Self::After { .. } => None,
        }
    }
}

fn limit(time: Duration) -> String {
    format!("set local statement_timeout = {}", time.as_millis())
}

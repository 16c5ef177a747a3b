//! Bounds the total size of a page's resources in the database, so that it sends no more than the page shows: 200 users
//! with certificates would be 100 MB.
//!
//! The sizes are added up in the order of the page. A small value that is stored as it is has about its stored size. The
//! size of any other value as text is computed, for which Postgres decompresses it; but not of those that follow 8 MB of
//! stored values, because they cannot fit.

use diesel::sql_types::{BigInt, Jsonb, Nullable, Timestamptz, Uuid as SqlUuid};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::sql::{self, Sql, Statement};
use super::{Page, Room};
use crate::Error;
use crate::record::record;

/// The size of a resource as text, if the stored values before it fit.
const SIZE: &str = "case when s.stored > ? then ? \
     when pg_column_compression(s.resource) is null and pg_column_size(s.resource) < 2500 then pg_column_size(s.resource) \
     else octet_length(s.resource::text) end";

/// A statement that returns rows within a limit: the record's columns, its sort key, the total if it was counted, its
/// size, and the number of rows without the limit.
pub(super) type Bounded = Statement<(
    SqlUuid,
    Jsonb,
    Timestamptz,
    Timestamptz,
    BigInt,
    Nullable<Jsonb>,
    Nullable<BigInt>,
    BigInt,
    BigInt,
)>;

/// One of its rows.
type Row = (Uuid, Value, OffsetDateTime, OffsetDateTime, i64, Option<Value>, Option<i64>, i64, i64);

/// The rows of `rows`, in their order, that fit into the room, and the first in any case. Rows have the columns `id`,
/// `resource`, `created_at`, `modified_at`, `version`, `key`, `total` and `nth`, their position from 1.
pub(super) fn bounded(rows: Sql, room: Room, is_kept: bool) -> Bounded {
    let most = || sql::integer(room.bytes.max(0));
    let size = Sql::fill(SIZE, [most(), most()]);
    let bounded = Sql::fill(
        "select q.id, q.resource, q.created_at, q.modified_at, q.version, q.key, q.total, q.size, q.found from (\
         select s.*, sum(s.size) over (order by s.nth rows unbounded preceding) as reached from (\
         select s.*, (?)::bigint as size from (\
         select r.*, sum(pg_column_size(r.resource)) over (order by r.nth rows between unbounded preceding and 1 preceding) \
         as stored, count(*) over () as found from (?) r) s) s) q \
         where q.nth = 1 or q.reached <= ? order by q.nth",
        [size, rows, most()],
    );
    Statement::new(bounded, is_kept)
}

/// Rows that were read, and whether others did not fit.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) page: Page,
    pub(super) is_cut: bool,
}

impl Rows {
    /// # Errors
    /// [`Error::Refused`] if a stored value is not a resource.
    pub(super) fn of(rows: Vec<Row>, room: Room) -> Result<Self, Error> {
        let mut read = Self::default();
        let sent = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        for (id, resource, created, modified, version, key, total, size, found) in rows {
            read.is_cut = found > sent;
            read.page.total = total;
            if size > room.bytes && !room.takes_one {
                // It was sent because it is the first.
                read.is_cut = true;
                break;
            }
            read.page.records.push(record((id, resource, created, modified, version))?);
            read.page.keys.push(key.unwrap_or_default());
            read.page.sizes.push(size);
        }
        Ok(read)
    }

    /// Adds the rows that follow.
    pub(super) fn extend(&mut self, next: Self) {
        self.page.records.extend(next.page.records);
        self.page.keys.extend(next.page.keys);
        self.page.sizes.extend(next.page.sizes);
        self.is_cut |= next.is_cut;
    }

    /// The room after these rows.
    pub(super) fn left(&self, room: Room) -> Room {
        let bytes = room.bytes.saturating_sub(self.page.sizes.iter().sum());
        Room { bytes, takes_one: room.takes_one && self.page.records.is_empty() }
    }
}

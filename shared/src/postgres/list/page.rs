//! One page of a list, read in few statements.
//!
//! Before it: the condition and the order. After it: records.
//!
//! A page is found among ids, which indexes have, and only its rows are read whole: rows are wide, and OFFSET would read
//! all that it leaves out.

use std::time::{Duration, Instant};

use diesel::OptionalExtension;
use diesel::sql_types::{BigInt, Bool, Jsonb, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use uuid::Uuid;

use super::order::Order;
use super::sql::{self, Sql, Statement};
use super::{List, Page, Slice};
use crate::postgres::Error;
use crate::postgres::users::{Columns, record};

/// How long a list may be worked on. Less than what work on Postgres is given altogether.
const LIMIT: Duration = Duration::from_secs(8);
/// What is left for counting when finding the page took nearly all.
const LEAST: Duration = Duration::from_millis(500);

type Row = Statement<(SqlUuid, Jsonb, Timestamptz, Timestamptz, BigInt)>;

impl List {
    /// One page of it.
    ///
    /// # Errors
    /// [`Error::TooBroad`] when that takes too long; else see [`Error`].
    pub async fn page(&self, connection: &mut AsyncPgConnection, slice: Slice) -> Result<Page, Error> {
        if self.is_plain() {
            return self.read(connection, slice, None).await;
        }
        let start = Instant::now();
        let read = connection.transaction(async |connection| {
            // A plan for rows by the thousand is compiled only where that pays, which is not in so short a time.
            connection.batch_execute(&format!("set local jit = off; {}", limit(LIMIT))).await?;
            self.read(connection, slice, Some(start)).await
        });
        match read.await {
            // diesel hides the SQLSTATE; what Postgres failed at after so long is what it was told to give up.
            Err(Error::Unknown(_)) if start.elapsed() >= LIMIT => Err(Error::TooBroad),
            read => read,
        }
    }

    async fn read(
        &self,
        connection: &mut AsyncPgConnection,
        slice: Slice,
        start: Option<Instant>,
    ) -> Result<Page, Error> {
        let (count, found) = match slice {
            Slice::Index { offset, count } => (count, self.by_index(connection, offset, count).await?),
            Slice::After { last: None, count } => (count, self.by_index(connection, 0, count).await?),
            Slice::After { last: Some(last), count } => match self.after(connection, last, count).await? {
                Some(found) => (count, found),
                None => return Ok(Page { records: Vec::new(), total: 0, has_more: false, is_lost: true }),
            },
        };
        let mut records = found.into_iter().map(record).collect::<Result<Vec<_>, _>>()?;
        let len = |records: &Vec<_>| i64::try_from(records.len()).unwrap_or(i64::MAX);
        let mut has_more = len(&records) > count;
        records.truncate(usize::try_from(count).unwrap_or_default());
        let before = match slice {
            Slice::Index { offset, .. } => Some(offset),
            Slice::After { last: None, .. } => Some(0),
            Slice::After { last: Some(_), .. } => None,
        };
        // The last page tells the total by itself, unless it is beyond the end.
        let total = match before {
            Some(before) if !has_more && count > 0 && (before == 0 || !records.is_empty()) => {
                before + len(&records)
            }
            _ => {
                if let Some(start) = start {
                    let left = LIMIT.saturating_sub(start.elapsed()).max(LEAST);
                    connection.batch_execute(&limit(left)).await?;
                }
                self.count(connection).await?
            }
        };
        if count == 0 {
            has_more = before.unwrap_or_default() < total;
        }
        Ok(Page { records, total, has_more, is_lost: false })
    }

    async fn by_index(
        &self,
        connection: &mut AsyncPgConnection,
        offset: i64,
        count: i64,
    ) -> Result<Vec<Columns>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let rows = self.statement(self.condition(), Some(offset), count);
        Ok(rows.load(connection).await?)
    }

    /// None if the last one is gone.
    async fn after(
        &self,
        connection: &mut AsyncPgConnection,
        last: Uuid,
        count: i64,
    ) -> Result<Option<Vec<Columns>>, Error> {
        let mut found = Vec::new();
        let Some(conditions) = self.conditions_after(connection, last).await? else { return Ok(None) };
        for condition in conditions {
            let missing = count - i64::try_from(found.len()).unwrap_or(i64::MAX);
            if count > 0 && missing >= 0 {
                let condition = Sql::fill("? and ?", [condition, self.condition()]);
                found.extend(self.statement(condition, None, missing).load(connection).await?);
            }
        }
        Ok(Some(found))
    }

    /// Those who come after the last one, in as many parts as indexes can find each for itself: those who have something
    /// to sort by, and those who have not.
    async fn conditions_after(
        &self,
        connection: &mut AsyncPgConnection,
        last: Uuid,
    ) -> Result<Option<Vec<Sql>>, Error> {
        let later = || Sql::fill("r.id > ?", [sql::uuid(last)]);
        // Where the id itself is the key, nobody needs to be there.
        let Some(Order { key, has_gaps, descending }) = &self.order else { return Ok(Some(vec![later()])) };
        let of_last = |expression: Sql| {
            let parts = [expression, self.table.name().into(), sql::uuid(self.tenant), sql::uuid(last)];
            Sql::fill("select ? from ? r where r.tenant_id = ? and r.id = ?", parts)
        };
        let is_gap = Statement::<Bool>::new(of_last(Sql::fill("? is null", [key.clone()])), false);
        let is_gap: Option<bool> = is_gap.get_result(connection).await.optional()?;
        let Some(is_gap) = is_gap else { return Ok(None) };
        let last_key = || Sql::fill("(?)", [of_last(key.clone())]);
        let beyond = || {
            let parts = [key.clone(), last_key(), key.clone(), last_key(), later()];
            match descending {
                false => Sql::fill("? >= ? and (? > ? or ?)", parts),
                true => Sql::fill("? <= ? and (? < ? or ?)", parts),
            }
        };
        let gaps = || Sql::fill("? is null", [key.clone()]);
        let later_gaps = || Sql::fill("? is null and ?", [key.clone(), later()]);
        let without_gaps = || Sql::fill("? is not null", [key.clone()]);
        Ok(Some(match (is_gap, descending) {
            (false, false) if *has_gaps => vec![beyond(), gaps()],
            (false, _) => vec![beyond()],
            (true, false) => vec![later_gaps()],
            (true, true) => vec![later_gaps(), without_gaps()],
        }))
    }

    /// The rows that satisfy a condition, in order: one more than asked for, which tells that there are more.
    fn statement(&self, condition: Sql, offset: Option<i64>, count: i64) -> Row {
        let table = || Sql::from(self.table.name());
        let limit = match offset {
            None => Sql::fill("limit ?", [sql::integer(count.saturating_add(1))]),
            Some(offset) => {
                Sql::fill("limit ? offset ?", [sql::integer(count.saturating_add(1)), sql::integer(offset)])
            }
        };
        let (key, inner, outer) = match &self.order {
            None => (Sql::default(), Sql::default(), Sql::default()),
            Some(order) => {
                let by = |key: &'static str| Sql::fill("? ?, ", [key.into(), order.direction().into()]);
                (Sql::fill(", ? as k", [order.key.clone()]), by("k"), by("p.k"))
            }
        };
        let ids = Sql::fill(
            "select r.id? from ? r where r.tenant_id = ? and ? order by ?r.id ?",
            [key, table(), sql::uuid(self.tenant), condition, inner, limit],
        );
        let rows = Sql::fill(
            "select t.id, t.resource, t.created_at, t.modified_at, t.version from (?) p \
             join ? t on t.id = p.id and t.tenant_id = ? order by ?p.id",
            [ids, table(), sql::uuid(self.tenant), outer],
        );
        Statement::new(rows, self.is_plain())
    }

    async fn count(&self, connection: &mut AsyncPgConnection) -> Result<i64, Error> {
        let parts = [self.table.name().into(), sql::uuid(self.tenant), self.condition()];
        let counted = Sql::fill("select count(*) from ? r where r.tenant_id = ? and ?", parts);
        Ok(Statement::<BigInt>::new(counted, self.is_plain()).get_result(connection).await?)
    }

    fn condition(&self) -> Sql {
        self.condition.clone().unwrap_or_else(|| "true".into())
    }

    /// Whether it is what clients ask all the time, and an index answers: a look-up, or everybody, in the order of ids. The
    /// few texts of such statements are prepared once, and their time needs no bound of its own.
    fn is_plain(&self) -> bool {
        self.order.is_none() && self.condition.as_ref().is_none_or(Sql::is_lookup)
    }
}

fn limit(time: Duration) -> String {
    format!("set local statement_timeout = {}", time.as_millis())
}

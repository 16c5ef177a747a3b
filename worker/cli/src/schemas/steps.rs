//! Passes over all users and groups of a tenant, a page at a time: each page is a short statement of its own.

use std::time::Duration;

use database::tenants::Tenant;
use database::{Error, Limits, Pool};
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use platform::retry::Delays;
use uuid::Uuid;
use worker::store::locks;

use crate::context::Failure;

/// The numbers of rows in a page that is read, and in one that is written.
const READ: i64 = 2_000;
const WRITTEN: i64 = 200;
/// After how many rows the progress is reported.
const REPORTED: i64 = 20_000;
/// How long a step waits for a lock. Then it lets the changes behind it pass, and tries again after a pause.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How many rows of a page have values under the schema.
const COUNT: &str = "with page as (select id, resource ? $3 as is_hit from @table \
    where tenant_id = $1 and id > $2 order by id limit $4) \
    select count(*) as seen, count(*) filter (where is_hit) as hits, (array_agg(id order by id desc))[1] as last from page";
/// Marks the search documents of these rows as out of date. The rows are locked in the order of their ids, as by workers.
const MARK: &str = "with page as (select id, resource ? $3 as is_hit from @table \
    where tenant_id = $1 and id > $2 order by id limit $4), \
    hit as (select r.id from @table r join page on page.id = r.id where page.is_hit order by r.id for no key update of r), \
    marked as (update @table r set search_version = 0 from hit where r.id = hit.id returning r.id) \
    select count(*) as seen, (select count(*) from marked) as hits, (array_agg(id order by id desc))[1] as last from page";

#[derive(Default, QueryableByName)]
struct Page {
    #[diesel(sql_type = BigInt)]
    seen: i64,
    #[diesel(sql_type = BigInt)]
    hits: i64,
    /// `None` at the end.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last: Option<Uuid>,
}

/// Whether a user or a group has values under the schema.
pub(super) async fn is_used(pool: &Pool, tenant: &Tenant, urn: &str) -> Result<bool, Failure> {
    let pass = Pass { pool, tenant, urn, statement: COUNT, limit: READ };
    pass.run("checked", true).await
}

/// Marks the search documents of resources with values under the schema as out of date.
pub(super) async fn mark(pool: &Pool, tenant: &Tenant, urn: &str) -> Result<(), Failure> {
    let pass = Pass { pool, tenant, urn, statement: MARK, limit: WRITTEN };
    pass.run("prepared", false).await.map(drop)
}

/// Waits until all batches have ended that may have read the tenant's schemas earlier. Batches that begin meanwhile wait
/// for a moment at most.
pub(super) async fn wait_for_batches(pool: &Pool, tenant: &Tenant) -> Result<(), Failure> {
    let what = format!("waiting for a change of {} to end", tenant.name);
    patiently(pool, &what, &Work::Lock(tenant.id)).await.map(drop)
}

/// A pass over both tables.
struct Pass<'a> {
    pool: &'a Pool,
    tenant: &'a Tenant,
    urn: &'a str,
    statement: &'static str,
    limit: i64,
}

impl Pass<'_> {
    /// Returns whether there was a hit; `first` ends the pass there.
    async fn run(&self, did: &str, first: bool) -> Result<bool, Failure> {
        let (mut seen, mut hits) = (0, 0);
        for table in ["users", "groups"] {
            let statement = self.statement.replace("@table", table);
            let mut after = Some(Uuid::nil());
            while let Some(last) = after {
                let page = self.page(&statement, last).await?;
                if (seen + page.seen) / REPORTED > seen / REPORTED {
                    eprintln!("{did} {} users and groups of {}", seen + page.seen, self.tenant.name);
                }
                (seen, hits, after) = (seen + page.seen, hits + page.hits, page.last);
                if first && hits > 0 {
                    return Ok(true);
                }
            }
        }
        Ok(hits > 0)
    }

    async fn page(&self, statement: &str, after: Uuid) -> Result<Page, Failure> {
        let what = format!("waiting for a user or group of {} that is locked", self.tenant.name);
        let work = Work::Page { statement, tenant: self.tenant.id, after, urn: self.urn, limit: self.limit };
        patiently(self.pool, &what, &work).await
    }
}

/// The work of a short transaction.
enum Work<'a> {
    /// Takes the lock of a tenant, exclusively.
    Lock(Uuid),
    /// Reads or writes a page.
    Page { statement: &'a str, tenant: Uuid, after: Uuid, urn: &'a str, limit: i64 },
}

impl Work<'_> {
    async fn run(&self, connection: &mut AsyncPgConnection) -> Result<Page, Error> {
        match *self {
            Self::Lock(tenant) => {
                locks::hold_alone(connection, tenant).await?;
                Ok(Page::default())
            }
            Self::Page { statement, tenant, after, urn, limit } => Ok(sql_query(statement)
                .bind::<SqlUuid, _>(tenant)
                .bind::<SqlUuid, _>(after)
                .bind::<Text, _>(urn)
                .bind::<BigInt, _>(limit)
                .get_result(connection)
                .await?),
        }
    }
}

/// Runs a short transaction until other transactions do not block it. Says `what` it does once that takes long.
async fn patiently(pool: &Pool, what: &str, work: &Work<'_>) -> Result<Page, Failure> {
    let (mut wait, mut delays, mut is_said) = (FIRST_WAIT, Delays::collision(), false);
    let mut connection = pool.get().await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    loop {
        let limits = Limits { lock: wait, ..Limits::NONE }.of_transaction();
        let transaction = async |connection: &mut AsyncPgConnection| {
            connection.batch_execute(&limits).await?;
            work.run(connection).await
        };
        match connection.transaction(transaction).await {
            Ok(done) => return Ok(done),
            Err(error) if error.is_collision() => {
                if wait == LONGEST_WAIT && !is_said {
                    eprintln!("{what}");
                    is_said = true;
                }
                wait = (wait * 2).min(LONGEST_WAIT);
                delays.pause().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

//! The runs of pulls in Postgres: due runs, leases and progress. Every write checks the lease's holder, so a process
//! that was paused and has lost its run writes nothing.

use std::time::Duration;

use database::pulls::RunRow;
use database::schema::{pull_missing, pull_seen};
use database::{Error, Pool, pulls};
use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

/// Inserts the slot's runs, except for pulls that were set after the slot.
const PLAN: &str = "insert into pull_runs (id, tenant_id, slot, state, due_at) \
    select gen_random_uuid(), tenant_id, $1, 'waiting', $2 from pulls where set_at <= $2 on conflict do nothing";
/// Inserts the runs that operators requested. Requests older than a day are ignored.
const OBEY: &str = "insert into pull_runs (id, tenant_id, slot, state, due_at) \
    select id, tenant_id, 'by hand ' || id, 'waiting', requested_at from pull_requests \
    where confirms is null and requested_at > now() - interval '1 day' on conflict do nothing";
/// Resumes confirmed runs, unless a later run of the tenant exists.
const CONFIRM: &str = "update pull_runs r set state = 'waiting', phase = 'archive', confirmed = true, reason = null \
    where state = 'asks' and id in (select confirms from pull_requests where confirms is not null) \
    and not exists (select 1 from pull_runs o where o.tenant_id = r.tenant_id and o.due_at > r.due_at)";
/// Leases a waiting run whose tenant has no running one, or a run whose lease has expired.
const TAKE: &str = "update pull_runs t set state = 'running', holder = $1, started_at = coalesce(started_at, $2), \
    set_at = coalesce(set_at, (select p.set_at from pulls p where p.tenant_id = t.tenant_id)), \
    lease_until = now() + interval '15 seconds' where id = (select r.id from pull_runs r where \
    r.id <> all($3) and coalesce(r.rests_until, now()) <= now() and ((r.state = 'waiting' and not exists \
        (select 1 from pull_runs o where o.tenant_id = r.tenant_id and o.state = 'running')) \
    or (r.state = 'running' and r.lease_until < now())) \
    order by r.due_at limit 1 for update skip locked) returning id";
const RENEW: &str = "update pull_runs set lease_until = now() + interval '15 seconds' \
    where id = $1 and holder = $2 and state = 'running'";
const RELEASE: &str = "update pull_runs set lease_until = now() - interval '1 second' \
    where id = $1 and holder = $2 and state = 'running'";
const REST: &str = "update pull_runs set rests_until = now() + $3 * interval '1 second' \
    where id = $1 and holder = $2 and state = 'running'";
/// Stores why the run is waiting. Reading the next page clears it.
const WAIT: &str = "update pull_runs set reason = $3 where id = $1 and holder = $2 and state = 'running'";
/// Keeps the count of queued commands, since they take effect.
const BEGIN_ANEW: &str = "update pull_runs set phase = 'read', next_link = null, pages = 0, people = 0, strangers = 0, \
    unreadable = 0, ambiguous = 0, roster = null, linked = null, gone = null, started_at = $3 \
    where id = $1 and holder = $2 and state = 'running'";
const SEE: &str = "insert into pull_seen (run_id, okta_id, external_id, user_name_key, is_known) \
    select $1, * from unnest($2, $3, $4, $5) on conflict do nothing";
const STORE_PAGE: &str = "update pull_runs set next_link = $3, phase = case when $3 is null then 'compare' else phase end, \
    pages = pages + 1, reason = null, people = people + $4, strangers = strangers + $5, changes = changes + $6, \
    unreadable = unreadable + $7, ambiguous = ambiguous + $8 where id = $1 and holder = $2 and state = 'running'";
const FINISH: &str = "update pull_runs set state = $3, reason = $4, finished_at = $5, holder = null, \
    lease_until = null where id = $1 and holder = $2 and state = 'running'";
const DELETE_OLD: &str =
    "delete from pull_runs where state <> 'running' and due_at < now() - interval '30 days'";

/// The runs.
#[derive(Clone)]
pub struct Store(pub Pool);

/// A lease of a run. Its holder id is new for each lease, so that even leases of the same process differ.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The run.
    pub run: Uuid,
    /// The holder.
    holder: Uuid,
}

/// The result of a page.
#[derive(Debug, Default)]
pub struct PageResult {
    /// The users on it.
    pub seen: Vec<Seen>,
    /// How many of them have no account.
    pub strangers: usize,
    /// How many commands were queued.
    pub changes: usize,
    /// The number of unreadable values.
    pub unreadable: usize,
    /// How many of them have an external id that matches several accounts ambiguously.
    pub ambiguous: usize,
    /// The link to the next page.
    pub next: Option<String>,
}

/// A user on a page.
#[derive(Debug)]
pub struct Seen {
    /// The Okta id.
    pub okta_id: String,
    /// The SCIM `externalId`.
    pub external_id: String,
    /// The case-folded login.
    pub user_name_key: String,
    /// Whether the external id is their own.
    pub is_known: bool,
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// Another process holds the run.
    #[error("another ingest holds the run")]
    Lost,
    /// Postgres failed.
    #[error(transparent)]
    Postgres(#[from] Error),
}

impl From<diesel::result::Error> for Unwritten {
    fn from(error: diesel::result::Error) -> Self {
        Self::Postgres(error.into())
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

impl Store {
    /// Inserts the due runs: those of the slot, once for each tenant, and those that operators requested. Deletes old
    /// runs, also those of tenants that have no pull any more.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn plan(&self, slot: &str, due: OffsetDateTime) -> Result<(), Error> {
        let plan = diesel::sql_query(PLAN).bind::<Text, _>(slot).bind::<Timestamptz, _>(due);
        let work = async |c: &mut AsyncPgConnection| {
            plan.execute(c).await?;
            diesel::sql_query(OBEY).execute(c).await?;
            diesel::sql_query(CONFIRM).execute(c).await?;
            diesel::sql_query(DELETE_OLD).execute(c).await?;
            Ok(())
        };
        self.0.bounded(work).await
    }

    /// Leases an available run, if there is one. Skips the runs in `but`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn lease_next(
        &self,
        now: OffsetDateTime,
        but: &[Uuid],
    ) -> Result<Option<(RunRow, Lease)>, Error> {
        let holder = platform::id::new();
        let take = diesel::sql_query(TAKE).bind::<SqlUuid, _>(holder).bind::<Timestamptz, _>(now);
        let take = take.bind::<Array<SqlUuid>, _>(but);
        let work = async |c: &mut AsyncPgConnection| {
            let Some(Id { id }) = take.get_result(c).await.optional()? else { return Ok(None) };
            let run = pulls::run(c, id).await?;
            Ok(run.map(|run| (run, Lease { run: id, holder })))
        };
        match self.0.bounded(work).await {
            // Another process has leased another run of the tenant first.
            Err(Error::Taken { .. }) => Ok(None),
            taken => taken,
        }
    }

    /// Renews the lease. Returns whether it is still held.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn renew(&self, lease: Lease) -> Result<bool, Error> {
        self.hold(RENEW, lease).await
    }

    /// Releases the run: another process may continue it immediately.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn release(&self, lease: Lease) -> Result<bool, Error> {
        self.hold(RELEASE, lease).await
    }

    async fn hold(&self, statement: &'static str, lease: Lease) -> Result<bool, Error> {
        let own = lease.own(statement);
        self.0.bounded(async |c| Ok(own.execute(c).await? == 1)).await
    }

    /// Stores a pause that no process may end early, not even after a crash.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn rest(&self, lease: Lease, pause: Duration) -> Result<(), Unwritten> {
        let rest = lease.own(REST).bind::<Double, _>(pause.as_secs_f64());
        owned(self.0.bounded(async |c| Ok(rest.execute(c).await?)).await?)
    }

    /// Stores what the run waits for, until the next page.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn wait(&self, lease: Lease, why: &str) -> Result<(), Unwritten> {
        let wait = lease.own(WAIT).bind::<Text, _>(why);
        owned(self.0.bounded(async |c| Ok(wait.execute(c).await?)).await?)
    }

    /// Resets the progress: the run starts again with the first page.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn begin_anew(&self, lease: Lease, now: OffsetDateTime) -> Result<(), Unwritten> {
        let anew = lease.own(BEGIN_ANEW).bind::<Timestamptz, _>(now);
        let seen = diesel::delete(pull_seen::table.filter(pull_seen::run_id.eq(lease.run)));
        let missing = diesel::delete(pull_missing::table.filter(pull_missing::run_id.eq(lease.run)));
        let mut connection = self.0.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        connection
            .transaction(async |c: &mut AsyncPgConnection| {
                owned(anew.execute(c).await?)?;
                seen.execute(c).await?;
                missing.execute(c).await?;
                Ok(())
            })
            .await
    }

    /// The external ids among these that the run has seen before, with the Okta ids of their owners.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn seen(&self, run: Uuid, external_ids: Vec<&str>) -> Result<Vec<(String, String)>, Error> {
        let seen = pull_seen::table.filter(pull_seen::run_id.eq(run)).filter(pull_seen::is_known);
        let seen = seen.filter(pull_seen::external_id.eq_any(external_ids));
        let seen = seen.select((pull_seen::external_id, pull_seen::okta_id));
        self.0.bounded(async |c| Ok(seen.load(c).await?)).await
    }

    /// Stores a page with its users and the link to the next page, from which the run resumes after a crash. Returns
    /// how many of the users were on no earlier page.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn store_page(&self, lease: Lease, page: &PageResult) -> Result<usize, Unwritten> {
        let texts = |of: fn(&Seen) -> &str| page.seen.iter().map(of).collect::<Vec<&str>>();
        let known: Vec<bool> = page.seen.iter().map(|seen| seen.is_known).collect();
        let see = diesel::sql_query(SEE).bind::<SqlUuid, _>(lease.run);
        let see = see.bind::<Array<Text>, _>(texts(|seen| &seen.okta_id));
        let see = see.bind::<Array<Text>, _>(texts(|seen| &seen.external_id));
        let see = see.bind::<Array<Text>, _>(texts(|seen| &seen.user_name_key)).bind::<Array<Bool>, _>(known);
        let update = lease.own(STORE_PAGE).bind::<Nullable<Text>, _>(page.next.as_deref());
        let mut connection = self.0.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        connection
            .transaction(async |c: &mut AsyncPgConnection| {
                // Users are not counted again when a page is read again.
                let new = see.execute(c).await?;
                let update = update.bind::<BigInt, _>(count(new)).bind::<BigInt, _>(count(page.strangers));
                let update =
                    update.bind::<BigInt, _>(count(page.changes)).bind::<BigInt, _>(count(page.unreadable));
                let update = update.bind::<BigInt, _>(count(page.ambiguous));
                owned(update.execute(c).await?)?;
                Ok(new)
            })
            .await
    }

    /// Ends the run.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn finish(
        &self,
        lease: Lease,
        state: &str,
        reason: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<(), Unwritten> {
        let finish = lease.own(FINISH).bind::<Text, _>(state).bind::<Nullable<Text>, _>(reason);
        let finish = finish.bind::<Timestamptz, _>(now);
        let seen = diesel::delete(pull_seen::table.filter(pull_seen::run_id.eq(lease.run)));
        let mut connection = self.0.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        connection
            .transaction(async |c: &mut AsyncPgConnection| {
                owned(finish.execute(c).await?)?;
                seen.execute(c).await?;
                Ok(())
            })
            .await
    }
}

/// Checks that a statement on a leased run has matched it.
pub(super) fn owned(rows: usize) -> Result<(), Unwritten> {
    if rows == 1 { Ok(()) } else { Err(Unwritten::Lost) }
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Lease {
    /// A statement on the run that matches only while the lease is held. Its first two parameters are the run and the
    /// holder.
    pub(super) fn own<'a>(self, statement: &'static str) -> BoxedSqlQuery<'a, diesel::pg::Pg, SqlQuery> {
        let statement = diesel::sql_query(statement).into_boxed();
        statement.bind::<SqlUuid, _>(self.run).bind::<SqlUuid, _>(self.holder)
    }
}

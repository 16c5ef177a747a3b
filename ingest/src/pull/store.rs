//! The runs of pulls in Postgres: which are due, who has one (for the time of a lease), how far it is.
//!
//! Whoever writes names itself: an ingest that was paused, and whose run another one goes on with, writes nothing any more.

use std::time::Duration;

use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use shared::postgres::pulls::RunRow;
use shared::postgres::schema::{pull_gone, pull_seen};
use shared::postgres::{Error, Pool, pulls};
use time::OffsetDateTime;
use uuid::Uuid;

/// The slot's runs. A tenant whose pull was set since is not caught up with.
const PLAN: &str = "insert into pull_runs (id, tenant_id, slot, state, due_at) \
    select gen_random_uuid(), tenant_id, $1, 'waiting', $2 from pulls where set_at <= $2 on conflict do nothing";
/// Runs by hand. A request that nobody saw for a day is not meant any more.
const OBEY: &str = "insert into pull_runs (id, tenant_id, slot, state, due_at) \
    select id, tenant_id, 'by hand ' || id, 'waiting', requested_at from pull_requests \
    where confirms is null and requested_at > now() - interval '1 day' on conflict do nothing";
/// Runs that asked, and may go on: no later one has looked since who is gone.
const CONFIRM: &str = "update pull_runs r set state = 'waiting', phase = 'archive', confirmed = true, reason = null \
    where state = 'asks' and id in (select confirms from pull_requests where confirms is not null) \
    and not exists (select 1 from pull_runs o where o.tenant_id = r.tenant_id and o.due_at > r.due_at)";
/// One run that waits, and no other of its tenant runs; or one whose ingest is gone.
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
/// Why it does not get on, until it does.
const WAIT: &str = "update pull_runs set reason = $3 where id = $1 and holder = $2 and state = 'running'";
/// What was queued stays counted: it takes effect.
const BEGIN_ANEW: &str = "update pull_runs set phase = 'read', next_link = null, pages = 0, people = 0, strangers = 0, \
    unreadable = 0, ambiguous = 0, roster = null, linked = null, gone = null, started_at = $3 \
    where id = $1 and holder = $2 and state = 'running'";
const SEE: &str = "insert into pull_seen (run_id, okta_id, external_id, user_name_key, is_known) \
    select $1, * from unnest($2, $3, $4, $5) on conflict do nothing";
const TURN: &str = "update pull_runs set next_link = $3, phase = case when $3 is null then 'compare' else phase end, \
    pages = pages + 1, reason = null, people = people + $4, strangers = strangers + $5, changes = changes + $6, \
    unreadable = unreadable + $7, ambiguous = ambiguous + $8 where id = $1 and holder = $2 and state = 'running'";
const FINISH: &str = "update pull_runs set state = $3, reason = $4, finished_at = $5, holder = null, \
    lease_until = null where id = $1 and holder = $2 and state = 'running'";
const FORGET: &str = "delete from pull_runs where tenant_id = $1 and state <> 'running' \
    and due_at < now() - interval '30 days'";

/// The runs.
#[derive(Clone)]
pub struct Store(pub Pool);

/// That a run is in our hands. It has an id of its own: not even this very ingest takes it for another.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The run.
    pub run: Uuid,
    /// Who has it.
    holder: Uuid,
}

/// What a page came to.
#[derive(Debug, Default)]
pub struct Turned {
    /// Who is on it.
    pub seen: Vec<Seen>,
    /// How many of them have no account here.
    pub strangers: usize,
    /// How many commands were queued.
    pub changes: usize,
    /// How many values could not be read.
    pub unreadable: usize,
    /// How many have an external id that several accounts here have, and that nothing else tells apart.
    pub ambiguous: usize,
    /// Where the next page is.
    pub next: Option<String>,
}

/// Somebody on a page.
#[derive(Debug)]
pub struct Seen {
    /// Okta's own id.
    pub okta_id: String,
    /// What `externalId` is in SCIM.
    pub external_id: String,
    /// The folded login.
    pub user_name_key: String,
    /// Whether the external id is told, by them alone.
    pub is_known: bool,
}

/// Why a step is not written.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// Another ingest has the run.
    #[error("another ingest has the run")]
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
    /// Makes the runs that are due: those of the slot, once for each tenant whoever is first, and what operators asked for.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn plan(&self, slot: &str, due: OffsetDateTime) -> Result<(), Error> {
        let plan = diesel::sql_query(PLAN).bind::<Text, _>(slot).bind::<Timestamptz, _>(due);
        let work = async |c: &mut AsyncPgConnection| {
            plan.execute(c).await?;
            diesel::sql_query(OBEY).execute(c).await?;
            diesel::sql_query(CONFIRM).execute(c).await?;
            Ok(())
        };
        self.0.bounded(work).await
    }

    /// Takes a run, if there is one to be taken beside these.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn take(&self, now: OffsetDateTime, but: &[Uuid]) -> Result<Option<(RunRow, Lease)>, Error> {
        let holder = shared::id::new();
        let take = diesel::sql_query(TAKE).bind::<SqlUuid, _>(holder).bind::<Timestamptz, _>(now);
        let take = take.bind::<Array<SqlUuid>, _>(but);
        let work = async |c: &mut AsyncPgConnection| {
            let Some(Id { id }) = take.get_result(c).await.optional()? else { return Ok(None) };
            let run = pulls::run(c, id).await?;
            Ok(run.map(|run| (run, Lease { run: id, holder })))
        };
        match self.0.bounded(work).await {
            // Another ingest was faster with another run of the tenant.
            Err(Error::Taken { .. }) => Ok(None),
            taken => taken,
        }
    }

    /// Renews the lease. Says whether the run is still ours.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn renew(&self, lease: Lease) -> Result<bool, Error> {
        self.hold(RENEW, lease).await
    }

    /// Lets go of the run: another ingest may go on with it at once.
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

    /// Notes that nobody goes on for so long, not even after a crash.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn rest(&self, lease: Lease, pause: Duration) -> Result<(), Unwritten> {
        let rest = lease.own(REST).bind::<Double, _>(pause.as_secs_f64());
        owned(self.0.bounded(async |c| Ok(rest.execute(c).await?)).await?)
    }

    /// Notes what the run waits for, until the next page.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn wait(&self, lease: Lease, why: &str) -> Result<(), Unwritten> {
        let wait = lease.own(WAIT).bind::<Text, _>(why);
        owned(self.0.bounded(async |c| Ok(wait.execute(c).await?)).await?)
    }

    /// Forgets what was read: the run begins anew with the first page.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn begin_anew(&self, lease: Lease, now: OffsetDateTime) -> Result<(), Unwritten> {
        let anew = lease.own(BEGIN_ANEW).bind::<Timestamptz, _>(now);
        let seen = diesel::delete(pull_seen::table.filter(pull_seen::run_id.eq(lease.run)));
        let gone = diesel::delete(pull_gone::table.filter(pull_gone::run_id.eq(lease.run)));
        let mut connection = self.0.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        connection
            .transaction(async |c: &mut AsyncPgConnection| {
                owned(anew.execute(c).await?)?;
                seen.execute(c).await?;
                gone.execute(c).await?;
                Ok(())
            })
            .await
    }

    /// Of these external ids those that the run has seen already, with the Okta ids of who had them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn seen(&self, run: Uuid, external_ids: Vec<&str>) -> Result<Vec<(String, String)>, Error> {
        let seen = pull_seen::table.filter(pull_seen::run_id.eq(run)).filter(pull_seen::is_known);
        let seen = seen.filter(pull_seen::external_id.eq_any(external_ids));
        let seen = seen.select((pull_seen::external_id, pull_seen::okta_id));
        self.0.bounded(async |c| Ok(seen.load(c).await?)).await
    }

    /// Notes a page, with everybody on it, and where the next one is: from here a crash resumes. Returns how many of them
    /// were on no page before.
    ///
    /// # Errors
    /// [`Unwritten`].
    pub async fn turn(&self, lease: Lease, page: &Turned) -> Result<usize, Unwritten> {
        let texts = |of: fn(&Seen) -> &str| page.seen.iter().map(of).collect::<Vec<&str>>();
        let known: Vec<bool> = page.seen.iter().map(|seen| seen.is_known).collect();
        let see = diesel::sql_query(SEE).bind::<SqlUuid, _>(lease.run);
        let see = see.bind::<Array<Text>, _>(texts(|seen| &seen.okta_id));
        let see = see.bind::<Array<Text>, _>(texts(|seen| &seen.external_id));
        let see = see.bind::<Array<Text>, _>(texts(|seen| &seen.user_name_key)).bind::<Array<Bool>, _>(known);
        let turn = lease.own(TURN).bind::<Nullable<Text>, _>(page.next.as_deref());
        let mut connection = self.0.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        connection
            .transaction(async |c: &mut AsyncPgConnection| {
                // Of a page that is read again nobody counts twice.
                let people = see.execute(c).await?;
                let turn = turn.bind::<BigInt, _>(count(people)).bind::<BigInt, _>(count(page.strangers));
                let turn =
                    turn.bind::<BigInt, _>(count(page.changes)).bind::<BigInt, _>(count(page.unreadable));
                let turn = turn.bind::<BigInt, _>(count(page.ambiguous));
                owned(turn.execute(c).await?)?;
                Ok(people)
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
        tenant: Uuid,
        state: &str,
        reason: Option<&str>,
        now: OffsetDateTime,
    ) -> Result<(), Unwritten> {
        let finish = lease.own(FINISH).bind::<Text, _>(state).bind::<Nullable<Text>, _>(reason);
        let finish = finish.bind::<Timestamptz, _>(now);
        let forget = diesel::sql_query(FORGET).bind::<SqlUuid, _>(tenant);
        let seen = diesel::delete(pull_seen::table.filter(pull_seen::run_id.eq(lease.run)));
        let mut connection = self.0.get().await?;
        let connection: &mut AsyncPgConnection = &mut connection;
        connection
            .transaction(async |c: &mut AsyncPgConnection| {
                owned(finish.execute(c).await?)?;
                seen.execute(c).await?;
                forget.execute(c).await?;
                Ok(())
            })
            .await
    }
}

/// A statement about a run of ours must have found it.
pub(super) fn owned(rows: usize) -> Result<(), Unwritten> {
    if rows == 1 { Ok(()) } else { Err(Unwritten::Lost) }
}

pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Lease {
    /// A statement about the run, for as long as it is ours: its first two parameters are the run and its holder.
    pub(super) fn own<'a>(self, statement: &'static str) -> BoxedSqlQuery<'a, diesel::pg::Pg, SqlQuery> {
        let statement = diesel::sql_query(statement).into_boxed();
        statement.bind::<SqlUuid, _>(self.run).bind::<SqlUuid, _>(self.holder)
    }
}

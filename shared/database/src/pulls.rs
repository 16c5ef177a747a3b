//! Reads the configuration of pulls, and their runs.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::schema::{pull_runs, pulls};
use domain::ticket::Ticket;

/// A row of `pulls`.
#[derive(Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = pulls, check_for_backend(diesel::pg::Pg))]
#[expect(missing_docs, reason = "the columns are described in the database")]
pub struct PullRow {
    pub tenant_id: Uuid,
    pub okta_url: String,
    pub group_id: String,
    pub token: Vec<u8>,
    pub map: Value,
    pub archive_missing: bool,
    pub limit_percent: i16,
    pub set_at: OffsetDateTime,
}

impl PullRow {
    /// The purpose that the token is sealed for: it can be opened only for this tenant, and is sent only to this URL.
    #[must_use]
    pub fn purpose(tenant: Uuid, okta_url: &str) -> String {
        format!("pull {tenant} {okta_url}")
    }
}

/// The columns of `pull_runs` that are shown or checked.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = pull_runs, check_for_backend(diesel::pg::Pg))]
#[expect(missing_docs, reason = "the columns are described in the database")]
pub struct RunRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub slot: String,
    pub state: String,
    pub phase: String,
    pub next_link: Option<String>,
    pub pages: i32,
    pub people: i64,
    pub strangers: i64,
    pub changes: i64,
    pub unreadable: i64,
    pub ambiguous: i64,
    pub roster: Option<i64>,
    pub linked: Option<i64>,
    pub gone: Option<i64>,
    pub archiving: i64,
    pub lease_until: Option<OffsetDateTime>,
    pub confirmed: bool,
    pub reason: Option<String>,
    pub set_at: Option<OffsetDateTime>,
    pub due_at: OffsetDateTime,
    pub started_at: Option<OffsetDateTime>,
    pub finished_at: Option<OffsetDateTime>,
}

/// A tenant's pull configuration, if it has one.
///
/// # Errors
/// See [`Error`].
pub async fn find(connection: &mut AsyncPgConnection, tenant: Uuid) -> Result<Option<PullRow>, Error> {
    let query = pulls::table.find(tenant).select(PullRow::as_select());
    Ok(query.first(connection).await.optional()?)
}

/// A run.
///
/// # Errors
/// See [`Error`].
pub async fn run(connection: &mut AsyncPgConnection, id: Uuid) -> Result<Option<RunRow>, Error> {
    let query = pull_runs::table.find(id).select(RunRow::as_select());
    Ok(query.first(connection).await.optional()?)
}

/// The verdicts on the commands of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, QueryableByName)]
pub struct Verdicts {
    /// How many supplements were decided.
    #[diesel(sql_type = BigInt)]
    pub supplemented: i64,
    /// How many users were archived.
    #[diesel(sql_type = BigInt)]
    pub archived: i64,
    /// How many users were not archived because they had changed since the comparison.
    #[diesel(sql_type = BigInt)]
    pub kept: i64,
}

impl Verdicts {
    /// How many commands have a verdict.
    #[must_use]
    pub fn all(&self) -> i64 {
        self.supplemented + self.archived + self.kept
    }
}

const VERDICTS: &str = "select count(*) filter (where change = 'user.supplement') as supplemented, \
    count(*) filter (where change = 'user.patch' and status < 300) as archived, \
    count(*) filter (where change = 'user.patch' and status >= 300) as kept \
    from commands where tenant_id = $1 and id >= $2 and request_id = $3 and decided_at is not null";

/// The verdicts so far on the commands of a run, including those from before a restart. The commands are newer than the
/// run, so the index on their ids is used.
///
/// # Errors
/// See [`Error`].
pub async fn verdicts(connection: &mut AsyncPgConnection, run: &RunRow) -> Result<Verdicts, Error> {
    if run.started_at.is_none() {
        return Ok(Verdicts::default());
    }
    // A minute earlier, because an ingest with another clock may have started the run.
    let since = Ticket::least_at(run.due_at - time::Duration::MINUTE);
    let query = diesel::sql_query(VERDICTS).bind::<SqlUuid, _>(run.tenant_id);
    let query = query.bind::<SqlUuid, _>(since.0).bind::<SqlUuid, _>(run.id);
    Ok(query.get_result(connection).await?)
}

/// Whether commands of an earlier run of the tenant, at most a day ago, have no verdict yet.
///
/// # Errors
/// See [`Error`].
pub async fn is_undecided(connection: &mut AsyncPgConnection, run: &RunRow) -> Result<bool, Error> {
    let earlier =
        pull_runs::table.filter(pull_runs::tenant_id.eq(run.tenant_id)).filter(pull_runs::id.ne(run.id));
    let since = run.due_at - time::Duration::DAY;
    let earlier = earlier.filter(pull_runs::started_at.gt(since)).filter(pull_runs::changes.gt(0));
    let earlier: Vec<RunRow> = earlier.select(RunRow::as_select()).load(connection).await?;
    for run in earlier {
        if verdicts(connection, &run).await?.supplemented < run.changes {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The tenant's run that was due last, if there was one.
///
/// # Errors
/// See [`Error`].
pub async fn last_run(connection: &mut AsyncPgConnection, tenant: Uuid) -> Result<Option<RunRow>, Error> {
    let own = pull_runs::table.filter(pull_runs::tenant_id.eq(tenant));
    let query = own.order((pull_runs::due_at.desc(), pull_runs::id.desc())).select(RunRow::as_select());
    Ok(query.first(connection).await.optional()?)
}

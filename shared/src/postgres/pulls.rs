//! Reading the pull: how a tenant's is configured, and its runs.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::schema::{pull_runs, pulls};
use crate::ticket::Ticket;

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
    /// What the token is for: sealed for it, it opens for nobody else, and is sent nowhere else.
    #[must_use]
    pub fn purpose(tenant: Uuid, okta_url: &str) -> String {
        format!("pull {tenant} {okta_url}")
    }
}

/// A row of `pull_runs`, as far as it is shown or minded.
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

/// How a tenant's pull is configured, if it is.
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

/// What became of the commands of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, QueryableByName)]
pub struct Verdicts {
    /// Those that told something about somebody, decided.
    #[diesel(sql_type = BigInt)]
    pub told: i64,
    /// Who was archived.
    #[diesel(sql_type = BigInt)]
    pub archived: i64,
    /// Who was to be archived, and was not: they had changed since they were compared.
    #[diesel(sql_type = BigInt)]
    pub kept: i64,
}

impl Verdicts {
    /// How many commands have one.
    #[must_use]
    pub fn all(&self) -> i64 {
        self.told + self.archived + self.kept
    }
}

const VERDICTS: &str = "select count(*) filter (where change = 'user.supplement') as told, \
    count(*) filter (where change = 'user.patch' and status < 300) as archived, \
    count(*) filter (where change = 'user.patch' and status >= 300) as kept \
    from commands where tenant_id = $1 and id >= $2 and request_id = $3 and decided_at is not null";

/// What became of the commands of a run, so far, also of those before it began anew. They are younger than the run: so the index on
/// their ids serves.
///
/// # Errors
/// See [`Error`].
pub async fn verdicts(connection: &mut AsyncPgConnection, run: &RunRow) -> Result<Verdicts, Error> {
    if run.started_at.is_none() {
        return Ok(Verdicts::default());
    }
    // With a minute to spare: another ingest's clock may have begun the run.
    let since = Ticket::least_at(run.due_at - time::Duration::MINUTE);
    let query = diesel::sql_query(VERDICTS).bind::<SqlUuid, _>(run.tenant_id);
    let query = query.bind::<SqlUuid, _>(since.0).bind::<SqlUuid, _>(run.id);
    Ok(query.get_result(connection).await?)
}

/// Whether commands of an earlier run of the tenant, of a day at the most, have no verdict yet.
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
        if verdicts(connection, &run).await?.told < run.changes {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The run of a tenant that was due last, if there was one.
///
/// # Errors
/// See [`Error`].
pub async fn last_run(connection: &mut AsyncPgConnection, tenant: Uuid) -> Result<Option<RunRow>, Error> {
    let own = pull_runs::table.filter(pull_runs::tenant_id.eq(tenant));
    let query = own.order((pull_runs::due_at.desc(), pull_runs::id.desc())).select(RunRow::as_select());
    Ok(query.first(connection).await.optional()?)
}

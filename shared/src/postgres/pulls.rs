//! Reading the pull: how a tenant's is configured, and its runs.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::schema::{pull_runs, pulls};

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
    pub roster: Option<i64>,
    pub gone: Option<i64>,
    pub archiving: i64,
    pub confirmed: bool,
    pub reason: Option<String>,
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

/// The run of a tenant that was due last, if there was one.
///
/// # Errors
/// See [`Error`].
pub async fn last_run(connection: &mut AsyncPgConnection, tenant: Uuid) -> Result<Option<RunRow>, Error> {
    let own = pull_runs::table.filter(pull_runs::tenant_id.eq(tenant));
    let query = own.order((pull_runs::due_at.desc(), pull_runs::id.desc())).select(RunRow::as_select());
    Ok(query.first(connection).await.optional()?)
}

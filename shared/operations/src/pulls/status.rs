//! Shows the configured pulls, their last runs, and the users missing in Okta.

use database::pulls::{self as rows, PullRow, RunRow, Verdicts};
use database::schema::{pull_missing, pulls, tenants, users};
use database::tenants::Tenant;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use uuid::Uuid;

use super::configuration::Configured;
use crate::{Error, Operator, moments};

/// A pull with its last run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PullStatus {
    /// The configuration.
    #[serde(flatten)]
    pub configured: Configured,
    /// When it was configured.
    #[serde(with = "moments")]
    pub set_at: OffsetDateTime,
    /// The last run, if there was one.
    pub last_run: Option<Run>,
}

/// A run with the verdicts on its commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the other fields are columns, which are described in the database")]
pub struct Run {
    pub id: Uuid,
    pub state: String,
    pub phase: String,
    pub reason: Option<String>,
    #[serde(with = "moments")]
    pub due_at: OffsetDateTime,
    #[serde(with = "moments::option")]
    pub started_at: Option<OffsetDateTime>,
    #[serde(with = "moments::option")]
    pub finished_at: Option<OffsetDateTime>,
    pub pages: i32,
    pub people: i64,
    pub strangers: i64,
    pub changes: i64,
    /// How many changes were decided.
    pub applied: i64,
    pub unreadable: i64,
    pub ambiguous: i64,
    pub roster: Option<i64>,
    pub linked: Option<i64>,
    pub gone: Option<i64>,
    pub archiving: i64,
    /// How many users were archived.
    pub archived: i64,
    /// How many users were not archived because they had changed since.
    pub kept: i64,
    pub confirmed: bool,
    /// The users that are active here and missing in Okta.
    #[serde(rename = "gone_ids", serialize_with = "ids")]
    pub missing: Vec<Missing>,
}

/// A user that is active here and missing in Okta.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct Missing {
    /// The id.
    pub id: Uuid,
    /// The userName, if the account still exists.
    pub user_name: Option<String>,
}

fn ids<S: Serializer>(missing: &[Missing], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(missing.iter().map(|missing| missing.id))
}

impl Run {
    /// A run from its row, the verdicts on its commands, and the missing users.
    pub(super) fn of(run: RunRow, verdicts: Verdicts, missing: Vec<Missing>) -> Self {
        Self {
            id: run.id,
            state: run.state,
            phase: run.phase,
            reason: run.reason,
            due_at: run.due_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            pages: run.pages,
            people: run.people,
            strangers: run.strangers,
            changes: run.changes,
            applied: verdicts.supplemented,
            unreadable: run.unreadable,
            ambiguous: run.ambiguous,
            roster: run.roster,
            linked: run.linked,
            gone: run.gone,
            archiving: run.archiving,
            archived: verdicts.archived,
            kept: verdicts.kept,
            confirmed: run.confirmed,
            missing,
        }
    }

    /// How many commands the run has queued.
    #[must_use]
    pub fn queued(&self) -> i64 {
        self.changes + self.archiving
    }

    /// How many of them have a verdict.
    #[must_use]
    pub fn decided(&self) -> i64 {
        self.applied + self.archived + self.kept
    }
}

/// Shows all pulls by the tenants' names, or only this tenant's.
///
/// # Errors
/// [`Error::Refused`] if the given tenant has no pull.
pub async fn status(operator: &Operator, tenant: Option<&Tenant>) -> Result<Vec<PullStatus>, Error> {
    let mut connection = operator.pool.get().await?;
    let all = pulls::table.inner_join(tenants::table.on(tenants::id.eq(pulls::tenant_id)));
    let all = all.order(tenants::name).select((tenants::name, PullRow::as_select()));
    let mut configured: Vec<(String, PullRow)> = all.load(&mut connection).await?;
    if let Some(tenant) = tenant {
        configured.retain(|(_, row)| row.tenant_id == tenant.id);
        if configured.is_empty() {
            return Err(Error::Refused(format!(
                "{0} has no pull; add one with `rollcall pull set {0}`",
                tenant.name
            )));
        }
    }
    let mut pulls = Vec::new();
    for (name, row) in configured {
        let last_run = match rows::last_run(&mut connection, row.tenant_id).await? {
            Some(run) => {
                let verdicts = rows::verdicts(&mut connection, &run).await?;
                let missing = missing(&mut connection, run.id).await?;
                Some(Run::of(run, verdicts, missing))
            }
            None => None,
        };
        let set_at = row.set_at;
        pulls.push(PullStatus { configured: Configured::of(name, row), set_at, last_run });
    }
    Ok(pulls)
}

/// The users that a run found active here and missing in Okta.
pub(super) async fn missing(connection: &mut AsyncPgConnection, run: Uuid) -> Result<Vec<Missing>, Error> {
    let own = pull_missing::table.filter(pull_missing::run_id.eq(run));
    let named = own.left_join(users::table.on(users::id.eq(pull_missing::user_id)));
    let named = named.order(pull_missing::user_id);
    Ok(named.select((pull_missing::user_id, users::user_name.nullable())).load(connection).await?)
}

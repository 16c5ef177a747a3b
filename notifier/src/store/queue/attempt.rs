//! Records the attempts to send mail.

use std::time::Duration;

use database::Error;
use database::schema::notifications;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Double, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use time::OffsetDateTime;
use wording::Kind;

use super::lease::LeasedMail;

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// Sent.
    Sent(OffsetDateTime),
    /// Not sent; retry after this pause.
    Again(Duration),
    /// Outcome unknown; retry after this pause.
    Unknown(Duration),
    /// Given up, for this reason.
    Failed(String),
}

/// How an attempt ended, as stored in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// How: `sent`, `refused`, `put_off`, `unknown` or `unwritten`.
    pub ended: &'static str,
    /// Why, without personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Records an attempt. If the lease has expired and another notifier has leased the row, only success is recorded.
///
/// # Errors
/// See [`Error`].
pub async fn record_attempt(
    connection: &mut AsyncPgConnection,
    leased: &LeasedMail,
    result: &AttemptResult,
    attempt: &Attempt,
) -> Result<(), Error> {
    let row = notifications::table.find(leased.id).filter(notifications::state.eq("sending"));
    let ours = row.filter(notifications::attempts.eq(leased.attempts));
    let last = notifications::last_attempt.eq(serde_json::to_value(attempt).ok());
    let due = |pause: &Duration| {
        let seconds = pause.as_secs_f64().into_sql::<Double>();
        notifications::due_at
            .eq(diesel::dsl::sql::<Timestamptz>("now() + interval '1 second' * ").bind::<Double, _>(seconds))
    };
    match result {
        AttemptResult::Sent(at) => {
            let sent = (notifications::state.eq("sent"), notifications::sent_at.eq(at), last);
            release(connection, leased).await?;
            diesel::update(row).set(sent).execute(connection).await?
        }
        AttemptResult::Again(pause) => {
            let again = (notifications::state.eq("pending"), due(pause), last);
            diesel::update(ours).set(again).execute(connection).await?
        }
        AttemptResult::Unknown(pause) => {
            let doubtful = (notifications::state.eq("pending"), notifications::in_doubt.eq(true));
            diesel::update(ours).set((doubtful, due(pause), last)).execute(connection).await?
        }
        AttemptResult::Failed(reason) => {
            let is_doubtful = notifications::in_doubt.or((attempt.ended == "unknown").into_sql::<Bool>());
            let failed = (notifications::state.eq("failed"), notifications::reason.eq(reason));
            let failed = (failed, notifications::in_doubt.eq(is_doubtful), last.clone());
            let anew = ours.filter(notifications::sent_at.is_null());
            diesel::update(anew).set(failed).execute(connection).await?;
            // Mail that was sent before keeps the state `sent`.
            let sent = ours.filter(notifications::sent_at.is_not_null());
            diesel::update(sent).set((notifications::state.eq("sent"), last)).execute(connection).await?
        }
    };
    Ok(())
}

/// Makes mail due that was put off until the first-assignment mail of its user would be due, since that was sent
/// earlier: an operator retried it.
async fn release(connection: &mut AsyncPgConnection, leased: &LeasedMail) -> Result<(), Error> {
    if leased.kind != Kind::FirstAssignment.as_str() {
        return Ok(());
    }
    let put_off = notifications::table
        .filter(notifications::tenant_id.eq(leased.tenant_id))
        .filter(notifications::user_id.eq(leased.user_id))
        .filter(notifications::kind.eq(Kind::Assignment.as_str()))
        .filter(notifications::state.eq("pending"))
        .filter(diesel::dsl::sql::<Bool>("due_at > now() + interval '1 minute' and attempts = 0"));
    let now = diesel::dsl::sql::<Timestamptz>("now()");
    diesel::update(put_off).set(notifications::due_at.eq(now)).execute(connection).await?;
    Ok(())
}

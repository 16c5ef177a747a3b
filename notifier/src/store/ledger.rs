//! `notifications` as the ledger of decisions: which mail is sent, which is suppressed, and why. [`super::queue`] is
//! the sender's side of the table.

use std::collections::BTreeMap;
use std::time::Duration;

use database::schema::notifications;
use database::{Error, Rows};
use diesel::prelude::*;
use diesel::sql_types;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;
use wording::{Item, Kind};

use super::mail_content::MailContent;
use crate::decide::WITHDRAWN;
use crate::intake::Incoming;

/// Due times are computed by Postgres, so that clock differences between notifiers do not matter. An event that is
/// redelivered after `received_events` forgot it changes nothing. A second mail of the same kind violates
/// `notifications_once` or `notifications_waiting`.
const INSERT: &str = "insert into notifications
  (id, tenant_id, user_id, kind, state, reason, event_source, event_id, context, decided_at, due_at, dated_at)
  select id, tenant_id, user_id, kind, state, reason, event_source, event_id, context, decided_at,
    now() + (due_at - decided_at), now() + (due_at - decided_at)
  from input order by user_id, kind
  on conflict (tenant_id, event_source, event_id, kind) do nothing";

const GATHER: &str = "update notifications n set context = input.context from input where n.id = input.id";

/// Makes a withdrawn mail pending again if it cannot have reached the user.
const REVIVE: &str =
    "update notifications set state = 'pending', reason = null, attempts = 0, give_up_at = null,
    due_at = now() + $2 * interval '1 second', dated_at = now() + $2 * interval '1 second'
  where id = $1 and state = 'suppressed' and reason = $3 and sent_at is null and not in_doubt";

/// Mail that was sent before keeps the state `sent`.
const CANCEL: &str = "update notifications set
    state = case when sent_at is null then 'suppressed' else 'sent' end,
    reason = case when sent_at is null then $3 end
  where tenant_id = $1 and user_id = any($2) and state = 'pending'
  returning id, user_id, kind";

/// A decision, as a row.
#[derive(Debug, Serialize)]
pub struct LedgerRow<'a> {
    /// The row's id, also used in the Message-ID.
    pub id: Uuid,
    tenant_id: Uuid,
    user_id: Uuid,
    kind: &'static str,
    state: &'static str,
    reason: Option<&'static str>,
    event_source: &'a str,
    event_id: &'a str,
    context: MailContent,
    #[serde(with = "time::serde::rfc3339")]
    decided_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    due_at: OffsetDateTime,
}

/// Whether to send a mail.
#[derive(Clone, Copy, Debug)]
pub enum Decision {
    /// Send it at this time, by the notifier's clock.
    Send(OffsetDateTime),
    /// Suppress it, for this reason.
    Suppress(&'static str),
}

impl<'a> LedgerRow<'a> {
    /// The row for a decision.
    #[must_use]
    pub fn new(
        tenant_id: Uuid,
        incoming: &'a Incoming,
        kind: Kind,
        verdict: Decision,
        at: OffsetDateTime,
    ) -> Self {
        let (state, reason, due_at) = match verdict {
            Decision::Send(due_at) => ("pending", None, due_at),
            Decision::Suppress(reason) => ("suppressed", Some(reason), at),
        };
        Self {
            id: platform::id::new(),
            tenant_id,
            user_id: incoming.user(),
            kind: kind.as_str(),
            state,
            reason,
            event_source: &incoming.event.source,
            event_id: &incoming.event.id,
            context: MailContent::of(incoming),
            decided_at: at,
            due_at,
        }
    }

    /// Adds an assignment to the mail.
    pub fn gather(&mut self, item: Item) {
        self.context.gather(item);
    }
}

/// Saves decisions.
///
/// # Errors
/// [`Error::Taken`] if another notifier has decided to send the same kind of mail to the same user.
pub async fn insert(connection: &mut AsyncPgConnection, rows: &[LedgerRow<'_>]) -> Result<(), Error> {
    Rows::new("notifications", rows, INSERT)?.execute(connection).await?;
    Ok(())
}

/// Assignments to add to pending mails, by mail id.
pub type Gathered = BTreeMap<Uuid, Vec<Item>>;

/// Adds assignments to pending mails.
///
/// # Errors
/// [`Error::Contention`] if one of the mails is not pending any more, [`Error::Refused`] if its context is invalid.
pub async fn gather(connection: &mut AsyncPgConnection, gathered: &Gathered) -> Result<(), Error> {
    #[derive(Serialize)]
    struct GatheredRow {
        id: Uuid,
        context: MailContent,
    }
    let waiting = notifications::table
        .filter(notifications::id.eq_any(gathered.keys()))
        .filter(notifications::state.eq("pending").and(notifications::attempts.eq(0)))
        // Rows are always locked in the same order, so that batches do not deadlock.
        .order(notifications::id)
        .select((notifications::id, notifications::context))
        .for_update();
    let waiting: Vec<(Uuid, serde_json::Value)> = waiting.load(connection).await?;
    if waiting.len() < gathered.len() {
        return Err(Error::Contention("a mail was claimed before an assignment could be added"));
    }
    let mut rows = Vec::new();
    for (id, context) in waiting {
        let mut context: MailContent = serde_json::from_value(context)
            .map_err(|_| Error::Refused("the context of a mail in the ledger is invalid".to_owned()))?;
        gathered.get(&id).into_iter().flatten().for_each(|item| context.gather(item.clone()));
        rows.push(GatheredRow { id, context });
    }
    Rows::new("notifications", &rows, GATHER)?.execute(connection).await?;
    Ok(())
}

/// Makes withdrawn mails pending again, due after `pause`.
///
/// # Errors
/// [`Error::Contention`] if one of them is not withdrawn any more.
pub async fn revive(connection: &mut AsyncPgConnection, ids: &[Uuid], pause: Duration) -> Result<(), Error> {
    // Always in the same order, so that two notifiers do not deadlock.
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    for id in ids {
        let revive = diesel::sql_query(REVIVE)
            .bind::<sql_types::Uuid, _>(id)
            .bind::<sql_types::Double, _>(pause.as_secs_f64())
            .bind::<sql_types::Text, _>(WITHDRAWN);
        if revive.execute(connection).await? == 0 {
            return Err(Error::Contention("a withdrawn mail was changed concurrently"));
        }
    }
    Ok(())
}

/// A pending mail that was cancelled.
#[derive(Debug, PartialEq, Eq, QueryableByName)]
pub struct Cancelled {
    /// The row's id.
    #[diesel(sql_type = sql_types::Uuid)]
    pub id: Uuid,
    /// The recipient's id.
    #[diesel(sql_type = sql_types::Uuid, column_name = user_id)]
    pub user: Uuid,
    /// Its kind.
    #[diesel(sql_type = sql_types::Text)]
    pub kind: String,
}

/// Suppresses the pending mail of these users of a tenant.
///
/// # Errors
/// See [`Error`].
pub async fn cancel(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    users: &[Uuid],
    reason: &str,
) -> Result<Vec<Cancelled>, Error> {
    let cancel = diesel::sql_query(CANCEL)
        .bind::<sql_types::Uuid, _>(tenant)
        .bind::<sql_types::Array<sql_types::Uuid>, _>(users)
        .bind::<sql_types::Text, _>(reason);
    Ok(cancel.get_results(connection).await?)
}

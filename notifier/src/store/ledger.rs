//! `notifications` as the ledger of decisions: what is to be sent, what is not, and why. What the sender does with
//! it stands in [`super::queue`].

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use shared::event::{ContentEvent, ContentKind};
use shared::postgres::schema::notifications;
use shared::postgres::{Error, Rows};
use time::OffsetDateTime;
use uuid::Uuid;
use wording::{Item, Kind};

use crate::intake::{Incoming, What};

/// Due times are Postgres' own, so that the clocks of several notifiers have no say in whose turn it is. The same event,
/// come again after `received_events` forgot it, changes nothing; a second mail of the kind violates `notifications_once`.
const INSERT: &str = "insert into notifications
  (id, tenant_id, user_id, kind, state, reason, event_source, event_id, context, decided_at, due_at)
  select id, tenant_id, user_id, kind, state, reason, event_source, event_id, context, decided_at, now()
  from input order by user_id, kind
  on conflict (tenant_id, event_source, event_id, kind) do nothing";

/// What a mail says beside the person's name, and what its log lines say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    /// The request behind the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What was assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned: Option<Item>,
    /// What else was assigned. (Beside the first, because an older notifier knows only that.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Item>,
}

impl Context {
    /// Of an event.
    #[must_use]
    pub fn of(incoming: &Incoming) -> Self {
        let assigned = match &incoming.what {
            What::Content(ContentEvent::Assigned(assigned)) => Some(Item {
                path: assigned.content.kind == ContentKind::Path,
                title: assigned.content.title.clone(),
                url: assigned.content.url.clone(),
                due_by: assigned.assignment.due_by,
            }),
            _ => None,
        };
        Self { request_id: incoming.event.requestid.clone(), assigned, more: Vec::new() }
    }

    /// All that was assigned.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        self.assigned.iter().chain(&self.more).cloned().collect()
    }
}

/// A decision, as it is stored.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    /// Also the mail's Message-ID.
    pub id: Uuid,
    tenant_id: Uuid,
    user_id: Uuid,
    kind: &'static str,
    state: &'static str,
    reason: Option<&'static str>,
    event_source: &'a str,
    event_id: &'a str,
    context: Context,
    #[serde(with = "time::serde::rfc3339")]
    decided_at: OffsetDateTime,
}

impl<'a> Row<'a> {
    /// A decision to send, or with a `reason` not to send.
    #[must_use]
    pub fn new(
        tenant_id: Uuid,
        incoming: &'a Incoming,
        kind: Kind,
        reason: Option<&'static str>,
        at: OffsetDateTime,
    ) -> Self {
        Self {
            id: shared::id::new(),
            tenant_id,
            user_id: incoming.user(),
            kind: kind.as_str(),
            state: if reason.is_none() { "pending" } else { "suppressed" },
            reason,
            event_source: &incoming.event.source,
            event_id: &incoming.event.id,
            context: Context::of(incoming),
            decided_at: at,
        }
    }
}

/// Saves decisions.
///
/// # Errors
/// [`Error::Taken`] when somebody else has decided to send the same person the same kind of mail meanwhile.
pub async fn insert(connection: &mut AsyncPgConnection, rows: &[Row<'_>]) -> Result<(), Error> {
    Rows::new("notifications", rows, INSERT)?.execute(connection).await?;
    Ok(())
}

/// A mail that was pending and is suppressed now.
#[derive(Debug, PartialEq, Eq, Queryable)]
pub struct Cancelled {
    /// The row's id.
    pub id: Uuid,
    /// To whom it would have gone.
    pub user: Uuid,
    /// Its kind.
    pub kind: String,
}

/// Suppresses what is pending for these users of a tenant.
///
/// # Errors
/// See [`Error`].
pub async fn cancel(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    users: &[Uuid],
    reason: &str,
) -> Result<Vec<Cancelled>, Error> {
    let pending = notifications::table
        .filter(notifications::tenant_id.eq(tenant).and(notifications::user_id.eq_any(users)))
        .filter(notifications::state.eq("pending"));
    let cancel = diesel::update(pending)
        .set((notifications::state.eq("suppressed"), notifications::reason.eq(reason)))
        .returning((notifications::id, notifications::user_id, notifications::kind));
    Ok(cancel.get_results(connection).await?)
}

//! `notifications` as the ledger of decisions: what is to be sent, what is not, and why. What the sender does with
//! it stands in [`super::queue`].

use std::collections::BTreeMap;

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
/// come again after `received_events` forgot it, changes nothing; a second mail of the kind violates `notifications_once` or
/// `notifications_waiting`.
const INSERT: &str = "insert into notifications
  (id, tenant_id, user_id, kind, state, reason, event_source, event_id, context, decided_at, due_at,
   give_up_at)
  select id, tenant_id, user_id, kind, state, reason, event_source, event_id, context, decided_at,
    now() + (due_at - decided_at), now() + (due_at - decided_at) + interval '72 hours'
  from input order by user_id, kind
  on conflict (tenant_id, event_source, event_id, kind) do nothing";

/// What was sent meanwhile stays as it is; rows are locked in one order everywhere, so that batches do not deadlock.
const GATHER: &str = ", waiting as (
    select n.id from notifications n join input using (id) where n.state = 'pending' and n.attempts = 0
    order by n.id for update of n)
  update notifications n
  set context = jsonb_set(n.context, '{more}', coalesce(n.context->'more', '[]') || input.context)
  from input, waiting where n.id = input.id and n.id = waiting.id";

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
    #[serde(with = "time::serde::rfc3339")]
    due_at: OffsetDateTime,
}

/// What a decision says of a mail.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    /// It is to be sent, at this time by the notifier's clock.
    Send(OffsetDateTime),
    /// It is not to be sent, for this reason.
    Suppress(&'static str),
}

impl<'a> Row<'a> {
    /// A decision.
    #[must_use]
    pub fn new(
        tenant_id: Uuid,
        incoming: &'a Incoming,
        kind: Kind,
        verdict: Verdict,
        at: OffsetDateTime,
    ) -> Self {
        let (state, reason, due_at) = match verdict {
            Verdict::Send(due_at) => ("pending", None, due_at),
            Verdict::Suppress(reason) => ("suppressed", Some(reason), at),
        };
        Self {
            id: shared::id::new(),
            tenant_id,
            user_id: incoming.user(),
            kind: kind.as_str(),
            state,
            reason,
            event_source: &incoming.event.source,
            event_id: &incoming.event.id,
            context: Context::of(incoming),
            decided_at: at,
            due_at,
        }
    }

    /// Lets the mail say more.
    pub fn gather(&mut self, item: Item) {
        self.context.more.push(item);
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

/// What mails that wait are to say more.
pub type Gathered = BTreeMap<Uuid, Vec<Item>>;

/// Lets mails that wait say more.
///
/// # Errors
/// [`Error::Contention`] when one of them does not wait any more.
pub async fn gather(connection: &mut AsyncPgConnection, gathered: &Gathered) -> Result<(), Error> {
    #[derive(Serialize)]
    struct More<'a> {
        id: Uuid,
        context: &'a [Item],
    }
    let rows: Vec<_> = gathered.iter().map(|(id, items)| More { id: *id, context: items }).collect();
    let told = Rows::new("notifications", &rows, GATHER)?.execute(connection).await?;
    if told < rows.len() {
        return Err(Error::Contention("a mail went out before it could say more"));
    }
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

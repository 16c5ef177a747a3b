//! `notifications` as the ledger of decisions: what is to be sent, what is not, and why. What the sender does with
//! it stands in [`super::queue`].

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use shared::event::{ContentEvent, ContentKind};
use shared::postgres::schema::notifications;
use shared::postgres::{Error, Rows};
use time::OffsetDateTime;
use uuid::Uuid;
use wording::{Item, Kind};

use crate::decide::WITHDRAWN;
use crate::intake::{Incoming, What};

/// Due times are Postgres' own, so that the clocks of several notifiers have no say in whose turn it is. The same event,
/// come again after `received_events` forgot it, changes nothing; a second mail of the kind violates `notifications_once` or
/// `notifications_waiting`.
const INSERT: &str = "insert into notifications
  (id, tenant_id, user_id, kind, state, reason, event_source, event_id, context, decided_at, due_at, dated_at)
  select id, tenant_id, user_id, kind, state, reason, event_source, event_id, context, decided_at,
    now() + (due_at - decided_at), now() + (due_at - decided_at)
  from input order by user_id, kind
  on conflict (tenant_id, event_source, event_id, kind) do nothing";

const GATHER: &str = "update notifications n set context = input.context from input where n.id = input.id";

/// A mail that was withdrawn before anybody can have got it is to be sent after all, and can say more until then.
const REVIVE: &str =
    "update notifications set state = 'pending', reason = null, attempts = 0, give_up_at = null,
    due_at = now() + $2 * interval '1 second', dated_at = now() + $2 * interval '1 second'
  where id = $1 and state = 'suppressed' and reason = $3 and sent_at is null and not in_doubt";

/// What went out before stays sent, and is not sent again.
const CANCEL: &str = "update notifications set
    state = case when sent_at is null then 'suppressed' else 'sent' end,
    reason = case when sent_at is null then $3 end
  where tenant_id = $1 and user_id = any($2) and state = 'pending'
  returning id, user_id, kind";

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
                assignment: Some(assigned.assignment.id.clone()),
                path: assigned.content.kind == ContentKind::Path,
                title: assigned.content.title.clone(),
                url: assigned.content.url.clone(),
                due_by: assigned.assignment.due_by,
            }),
            _ => None,
        };
        Self { request_id: incoming.event.requestid.clone(), assigned, more: Vec::new() }
    }

    /// Says this too, in the place of what it said of the same assignment.
    pub fn gather(&mut self, item: Item) {
        let id = item.assignment.clone();
        let mut said = self.assigned.iter_mut().chain(&mut self.more);
        if let Some(same) = said.find(|said| id.is_some() && said.assignment == id) {
            *same = item;
        } else if self.assigned.is_none() {
            self.assigned = Some(item);
        } else {
            self.more.push(item);
        }
    }

    /// The ids of the assignments that it is about.
    pub fn assignments(&self) -> impl Iterator<Item = String> {
        self.items().into_iter().filter_map(|item| item.assignment)
    }

    /// Leaves these assignments out; says whether there were any.
    pub fn leave_out(&mut self, left_out: impl Fn(&str) -> bool) -> bool {
        let mut items = self.items();
        let before = items.len();
        items.retain(|item| !item.assignment.as_deref().is_some_and(&left_out));
        let left = items.len();
        let mut items = items.into_iter();
        (self.assigned, self.more) = (items.next(), items.collect());
        left < before
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
        self.context.gather(item);
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
/// [`Error::Contention`] when one of them does not wait any more, [`Error::Refused`] when what one says cannot be read.
pub async fn gather(connection: &mut AsyncPgConnection, gathered: &Gathered) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Row {
        id: Uuid,
        context: Context,
    }
    let waiting = notifications::table
        .filter(notifications::id.eq_any(gathered.keys()))
        .filter(notifications::state.eq("pending").and(notifications::attempts.eq(0)))
        // Rows are locked in one order everywhere, so that batches do not deadlock.
        .order(notifications::id)
        .select((notifications::id, notifications::context))
        .for_update();
    let waiting: Vec<(Uuid, serde_json::Value)> = waiting.load(connection).await?;
    if waiting.len() < gathered.len() {
        return Err(Error::Contention("a mail went out before it could say more"));
    }
    let mut rows = Vec::new();
    for (id, context) in waiting {
        let mut context: Context = serde_json::from_value(context).map_err(|_| {
            Error::Refused("what a mail in the ledger says has another shape than expected".to_owned())
        })?;
        gathered.get(&id).into_iter().flatten().for_each(|item| context.gather(item.clone()));
        rows.push(Row { id, context });
    }
    Rows::new("notifications", &rows, GATHER)?.execute(connection).await?;
    Ok(())
}

/// Has mails sent after all that were withdrawn when their person was archived, after this pause.
///
/// # Errors
/// [`Error::Contention`] when one of them is not withdrawn any more.
pub async fn revive(connection: &mut AsyncPgConnection, ids: &[Uuid], pause: Duration) -> Result<(), Error> {
    // In one order, so that two notifiers do not wait for each other.
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    for id in ids {
        let revive = diesel::sql_query(REVIVE)
            .bind::<sql_types::Uuid, _>(id)
            .bind::<sql_types::Double, _>(pause.as_secs_f64())
            .bind::<sql_types::Text, _>(WITHDRAWN);
        if revive.execute(connection).await? == 0 {
            return Err(Error::Contention("a mail that was withdrawn was decided about meanwhile"));
        }
    }
    Ok(())
}

/// A mail that was pending and is not sent any more.
#[derive(Debug, PartialEq, Eq, QueryableByName)]
pub struct Cancelled {
    /// The row's id.
    #[diesel(sql_type = sql_types::Uuid)]
    pub id: Uuid,
    /// To whom it would have gone.
    #[diesel(sql_type = sql_types::Uuid, column_name = user_id)]
    pub user: Uuid,
    /// Its kind.
    #[diesel(sql_type = sql_types::Text)]
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
    let cancel = diesel::sql_query(CANCEL)
        .bind::<sql_types::Uuid, _>(tenant)
        .bind::<sql_types::Array<sql_types::Uuid>, _>(users)
        .bind::<sql_types::Text, _>(reason);
    Ok(cancel.get_results(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(assignment: Option<&str>, title: &str) -> Item {
        Item {
            assignment: assignment.map(str::to_owned),
            path: false,
            title: title.to_owned(),
            url: "https://learn.example/c".to_owned(),
            due_by: None,
        }
    }

    fn titles(context: &Context) -> Vec<String> {
        context.items().into_iter().map(|item| item.title).collect()
    }

    #[test]
    fn what_is_assigned_again_is_said_once_and_in_its_place() {
        let mut said = Context::default();
        for (id, title) in
            [(Some("a"), "A"), (Some("b"), "B"), (None, "old"), (Some("a"), "A, later"), (None, "old")]
        {
            said.gather(item(id, title));
        }
        assert_eq!(titles(&said), ["A, later", "B", "old", "old"]);
    }

    #[test]
    fn what_is_left_out_leaves_the_others_in_their_order() {
        let mut said = Context::default();
        for id in ["a", "b", "c"] {
            said.gather(item(Some(id), id));
        }
        assert!(!said.leave_out(|id| id == "x"));
        assert!(said.leave_out(|id| id == "a"));
        assert_eq!(titles(&said), ["b", "c"]);
        assert!(said.leave_out(|_| true) && said.items().is_empty());
    }
}

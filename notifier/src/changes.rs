//! The rows that a batch of decisions leads to, gathered and saved by a fixed number of statements whatever the
//! batch's size. Before it: [`crate::decide`]; after it: the commit.

use std::collections::BTreeMap;

use diesel_async::AsyncPgConnection;
use shared::event::ContentEvent;
use shared::postgres::Error;
use time::OffsetDateTime;
use uuid::Uuid;
use wording::Kind;

use crate::apply::{Addressed, parking_pause};
use crate::decide::Effect;
use crate::intake::What;
use crate::store::assignments::{self, AssignedRow, CompletedRow};
use crate::store::ledger::{self, Cancelled};
use crate::store::parked::{self, Awaited};

/// What is to be saved.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    assigned: Vec<AssignedRow<'a>>,
    completed: Vec<CompletedRow<'a>>,
    decisions: Vec<ledger::Row<'a>>,
    cancels: BTreeMap<(Uuid, &'static str), Vec<Uuid>>,
    parked: Vec<parked::Row>,
    awaited: Vec<Awaited>,
}

impl<'a> Changes<'a> {
    /// Adds what one effect of an event leads to.
    pub fn add(&mut self, event: &'a Addressed, effect: Effect, now: OffsetDateTime) {
        match effect {
            Effect::Send(kind) => self.decided(event, kind, None, now),
            Effect::Suppress(kind, reason) => self.decided(event, kind, Some(reason), now),
            Effect::Assign | Effect::Complete => match &event.incoming.what {
                What::Content(ContentEvent::Assigned(a)) => {
                    self.assigned.push(AssignedRow::new(event.tenant, a));
                }
                What::Content(ContentEvent::Completed(c)) => {
                    self.completed.push(CompletedRow::new(event.tenant, c));
                }
                What::User(..) => {}
            },
            Effect::Cancel(reason) => {
                self.cancels.entry((event.tenant, reason)).or_default().push(event.incoming.user());
            }
            Effect::Park => self.parked.push(parked_row(event, now)),
            Effect::Unpark => {
                self.awaited.push(Awaited { tenant_id: event.tenant, user_id: event.incoming.user() });
            }
        }
    }

    fn decided(
        &mut self,
        event: &'a Addressed,
        kind: Kind,
        reason: Option<&'static str>,
        now: OffsetDateTime,
    ) {
        self.decisions.push(ledger::Row::new(event.tenant, &event.incoming, kind, reason, now));
    }

    /// Saves all; returns the mails that were pending and are suppressed now, each with its reason.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn save(
        self,
        connection: &mut AsyncPgConnection,
    ) -> Result<Vec<(Cancelled, &'static str)>, Error> {
        // Tables and rows in one order everywhere, so that batches do not deadlock.
        if !self.assigned.is_empty() {
            assignments::assign(connection, &self.assigned).await?;
        }
        if !self.completed.is_empty() {
            assignments::complete(connection, &self.completed).await?;
        }
        if !self.decisions.is_empty() {
            ledger::insert(connection, &self.decisions).await?;
        }
        let mut cancelled = Vec::new();
        for ((tenant, reason), users) in &self.cancels {
            let rows = ledger::cancel(connection, *tenant, users, reason).await?;
            cancelled.extend(rows.into_iter().map(|row| (row, *reason)));
        }
        if !self.parked.is_empty() {
            parked::upsert(connection, &self.parked).await?;
        }
        if !self.awaited.is_empty() {
            parked::wake(connection, &self.awaited).await?;
        }
        Ok(cancelled)
    }
}

fn parked_row(event: &Addressed, now: OffsetDateTime) -> parked::Row {
    let (attempts, parked_at) =
        event.parked.map_or((0, now), |(attempts, since)| (attempts.saturating_add(1), since));
    let (tenant_id, source, id) = event.key();
    parked::Row {
        tenant_id,
        source,
        id,
        user_id: event.incoming.user(),
        event: event.incoming.raw.clone(),
        attempts,
        parked_at,
        due_at: now + parking_pause(attempts),
    }
}

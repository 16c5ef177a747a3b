//! Collects the rows that a batch of decisions produces, and saves them with a fixed number of statements, independent
//! of the batch size.

use std::collections::BTreeMap;
use std::time::Duration;

use database::Error;
use diesel_async::AsyncPgConnection;
use domain::event::ContentEvent;
use time::OffsetDateTime;
use uuid::Uuid;
use wording::Kind;
use wording::calendar::next_morning;

use crate::addressed::Addressed;
use crate::decide::{Effect, GATHERED, User};
use crate::intake::What;
use crate::retry_pause::pause;
use crate::store::assignments::{self, AssignedRow, CompletedRow};
use crate::store::erasure::{self, ErasedRow};
use crate::store::ledger::{self, Cancelled, Decision, Gathered};
use crate::store::mail_content::MailContent;
use crate::store::parked::{self, Awaited};

/// The first pause of a parked event before it is tried again.
const PARKING: Duration = Duration::from_secs(2);

/// The rows to save.
#[derive(Debug)]
pub struct Changes<'a> {
    gather: Duration,
    now: OffsetDateTime,
    assigned: Vec<AssignedRow<'a>>,
    completed: Vec<CompletedRow<'a>>,
    decisions: Vec<ledger::LedgerRow<'a>>,
    gathered: Gathered,
    revived: Vec<Uuid>,
    cancels: BTreeMap<(Uuid, &'static str), Vec<Uuid>>,
    parked: Vec<parked::ParkedRow>,
    awaited: Vec<Awaited>,
    erased: Vec<ErasedRow>,
}

impl<'a> Changes<'a> {
    /// Creates an empty set; mail about assignments is delayed by `gather`.
    #[must_use]
    pub fn new(gather: Duration, now: OffsetDateTime) -> Self {
        Self {
            gather,
            now,
            assigned: Vec::new(),
            completed: Vec::new(),
            decisions: Vec::new(),
            gathered: Gathered::new(),
            revived: Vec::new(),
            cancels: BTreeMap::new(),
            parked: Vec::new(),
            awaited: Vec::new(),
            erased: Vec::new(),
        }
    }

    /// Adds the rows of one effect of an event. Returns the id of the mail if the effect makes one pending.
    pub fn add(&mut self, event: &'a Addressed, effect: Effect, user: Option<&User>) -> Option<Uuid> {
        match effect {
            Effect::Send(kind) => {
                let due = self.due(kind, user);
                return Some(self.decided(event, kind, Decision::Send(due)));
            }
            Effect::Gather(kind, mail) => {
                self.gather(event, mail);
                self.decided(event, kind, Decision::Suppress(GATHERED));
            }
            Effect::Revive(mail) => {
                self.revived.push(mail);
                return Some(mail);
            }
            Effect::Suppress(kind, reason) => {
                self.decided(event, kind, Decision::Suppress(reason));
            }
            Effect::Assign => {
                if let What::Content(ContentEvent::Assigned(assigned)) = &event.incoming.what {
                    self.assigned.push(AssignedRow::new(event.tenant, assigned));
                }
            }
            Effect::Complete => {
                if let What::Content(ContentEvent::Completed(completed)) = &event.incoming.what {
                    self.completed.push(CompletedRow::new(event.tenant, completed));
                }
            }
            Effect::Cancel(reason) => {
                self.cancels.entry((event.tenant, reason)).or_default().push(event.incoming.user());
            }
            Effect::Park => self.parked.push(parked_row(event, self.now)),
            Effect::Unpark => {
                self.awaited.push(Awaited { tenant_id: event.tenant, user_id: event.incoming.user() });
            }
            Effect::Erase => {
                self.erased.push(ErasedRow { tenant_id: event.tenant, user_id: event.incoming.user() });
            }
            Effect::Drop => {}
        }
        None
    }

    fn decided(&mut self, event: &'a Addressed, kind: Kind, verdict: Decision) -> Uuid {
        let row = ledger::LedgerRow::new(event.tenant, &event.incoming, kind, verdict, self.now);
        let id = row.id;
        self.decisions.push(row);
        id
    }

    fn due(&self, kind: Kind, user: Option<&User>) -> OffsetDateTime {
        match kind {
            Kind::Welcome => self.now,
            Kind::FirstAssignment | Kind::Assignment => self.now + self.gather,
            Kind::Digest => next_morning(self.now, user.and_then(|user| user.timezone.as_deref())),
        }
    }

    /// Adds the assignment to a mail that is pending, from this batch or an earlier one.
    fn gather(&mut self, event: &Addressed, mail: Uuid) {
        let Some(item) = MailContent::of(&event.incoming).assigned else { return };
        match self.decisions.iter_mut().find(|row| row.id == mail) {
            Some(row) => row.gather(item),
            None => self.gathered.entry(mail).or_default().push(item),
        }
    }

    /// Saves all rows. Returns the mails that were pending and are now suppressed, each with its reason.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn save(
        self,
        connection: &mut AsyncPgConnection,
    ) -> Result<Vec<(Cancelled, &'static str)>, Error> {
        // Tables and rows are always written in the same order, so that batches do not deadlock.
        if !self.assigned.is_empty() {
            assignments::assign(connection, &self.assigned).await?;
        }
        if !self.completed.is_empty() {
            assignments::complete(connection, &self.completed).await?;
        }
        if !self.decisions.is_empty() {
            ledger::insert(connection, &self.decisions).await?;
        }
        if !self.revived.is_empty() {
            ledger::revive(connection, &self.revived, self.gather).await?;
        }
        if !self.gathered.is_empty() {
            ledger::gather(connection, &self.gathered).await?;
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
        // Last, so that nothing of the batch itself is left.
        erasure::erase(connection, &self.erased).await?;
        Ok(cancelled)
    }
}

fn parked_row(event: &Addressed, now: OffsetDateTime) -> parked::ParkedRow {
    let (attempts, parked_at) =
        event.parked.map_or((0, now), |(attempts, since)| (attempts.saturating_add(1), since));
    let (tenant_id, source, id) = event.key();
    parked::ParkedRow {
        tenant_id,
        source,
        id,
        user_id: event.incoming.user(),
        event: event.incoming.raw.clone(),
        attempts,
        parked_at,
        due_at: now + pause(PARKING, attempts),
    }
}

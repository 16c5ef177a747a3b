//! Applies events in one transaction: deduplicate, load the users' state, decide, save. After the commit the events may
//! be acknowledged, and the sender wakes up.

use std::sync::PoisonError;
use std::time::Duration;

use database::Error;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use platform::redact;
use platform::retry::Delays;
use time::OffsetDateTime;
use tracing::{debug, info};
use uuid::Uuid;
use wording::Kind;

use crate::addressed::Addressed;
use crate::changes::Changes;
use crate::decide::{Effect, decide};
use crate::intake::What;
use crate::shared_state::SharedState;
use crate::store::ledger::Cancelled;
use crate::store::received;
use crate::store::roster::People;

/// How often a batch is retried at once after a conflict with another transaction.
const FOLDS: u32 = 5;

/// The decision about one event, for the log; contains ids but no other personal data.
#[derive(Debug)]
struct Note {
    tenant: Uuid,
    user: Uuid,
    event: String,
    request: Option<String>,
    again: bool,
    effect: Effect,
}

/// What a transaction did, to be logged after the commit.
#[derive(Debug, Default)]
pub struct Done {
    notes: Vec<Note>,
    cancelled: Vec<(Cancelled, &'static str)>,
    duplicates: usize,
}

/// Applies a batch of events, each exactly once. Returns after the commit.
///
/// # Errors
/// See [`Error`]; in that case nothing was applied.
pub async fn apply_new(shared: &SharedState, events: &[Addressed]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let mut delays = Delays::collision();
    for _ in 0..FOLDS {
        match try_apply(shared, events).await {
            // Another notifier decided about the same user concurrently; the next attempt sees its decision.
            Err(Error::Taken { .. }) => {}
            Err(error) if error.is_collision() => delays.pause().await,
            Err(error) => return Err(error),
            Ok(done) => {
                done.log_and_wake(shared);
                return Ok(());
            }
        }
    }
    Err(Error::Contention("several times in a row"))
}

async fn try_apply(shared: &SharedState, events: &[Addressed]) -> Result<Done, Error> {
    let (now, gather) = (shared.clock.now(), shared.gather);
    // The connection is discarded after a timeout. If the commit succeeded unnoticed, the next attempt finds the events
    // in `received_events`.
    let transaction = async |connection: &mut AsyncPgConnection| {
        connection.transaction(async |connection| take_new(connection, events, now, gather).await).await
    };
    shared.pool.bounded(transaction).await
}

async fn take_new(
    connection: &mut AsyncPgConnection,
    events: &[Addressed],
    now: OffsetDateTime,
    gather: Duration,
) -> Result<Done, Error> {
    let mut fresh = received::insert(connection, events.iter().map(Addressed::key).collect()).await?;
    // The key is removed, so of two copies in one batch only the first is applied.
    let new: Vec<&Addressed> = events.iter().filter(|event| fresh.remove(&event.key())).collect();
    let mut done = apply(connection, &new, now, gather).await?;
    done.duplicates = events.len() - new.len();
    Ok(done)
}

/// Decides about events and saves their effects, within the caller's transaction. Mail about assignments is delayed by
/// `gather`, so that one mail can list several.
///
/// # Errors
/// See [`Error`].
pub async fn apply(
    connection: &mut AsyncPgConnection,
    events: &[&Addressed],
    now: OffsetDateTime,
    gather: Duration,
) -> Result<Done, Error> {
    if events.is_empty() {
        return Ok(Done::default());
    }
    let mut ids: Vec<Uuid> = events.iter().map(|event| event.incoming.user()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut tenants: Vec<Uuid> = events.iter().map(|event| event.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let mut people = People::load(connection, &tenants, &ids).await?;
    let mut changes = Changes::new(gather, now);
    let mut notes = Vec::new();
    for event in events {
        let id = event.incoming.user();
        let mailed = people.mailed(id).clone();
        let user = people.user(event.tenant, id).cloned();
        let effects = match &event.incoming.what {
            What::Content(_) if people.is_erased(event.tenant, id) => vec![Effect::Drop],
            what => decide(what, user.as_ref(), &mailed, people.chosen(event.tenant)),
        };
        for effect in effects {
            let row = changes.add(event, effect, user.as_ref());
            match effect {
                Effect::Send(kind) => people.mail(id, kind, row),
                Effect::Revive(_) => people.mail(id, Kind::FirstAssignment, row),
                _ => {}
            }
            notes.push(Note::new(event, effect));
        }
    }
    let cancelled = changes.save(connection).await?;
    Ok(Done { notes, cancelled, duplicates: 0 })
}

impl Done {
    /// Whether an event was parked.
    #[must_use]
    pub fn has_parked(&self) -> bool {
        self.notes.iter().any(|note| note.effect == Effect::Park)
    }

    /// Logs the decisions and wakes the loops concerned.
    pub fn log_and_wake(&self, shared: &SharedState) {
        for note in &self.notes {
            note.log();
            match note.effect {
                Effect::Send(_) | Effect::Revive(_) => shared.mail.notify_one(),
                Effect::Unpark => shared.parked.notify_one(),
                Effect::Park if !note.again => {
                    shared.parking.lock().unwrap_or_else(PoisonError::into_inner).insert(note.tenant);
                }
                _ => {}
            }
        }
        for (mail, reason) in &self.cancelled {
            info!(notification.id = %mail.id, user.id = %mail.user, kind = mail.kind, reason, "suppressed pending mail");
        }
        if self.duplicates > 0 {
            debug!(duplicates = self.duplicates, "skipped duplicate events");
        }
    }
}

impl Note {
    fn new(event: &Addressed, effect: Effect) -> Self {
        let Addressed { tenant, incoming, parked } = event;
        Self {
            tenant: *tenant,
            user: incoming.user(),
            event: redact::id(&incoming.event.id),
            request: incoming.request_id().map(str::to_owned),
            again: parked.is_some(),
            effect,
        }
    }

    fn log(&self) {
        let Self { tenant, user, event, request, again, effect } = self;
        match effect {
            Effect::Send(kind) => {
                info!(kind = kind.as_str(), %tenant, user.id = %user, event.id = event, request.id = request, "decided to send mail");
            }
            Effect::Gather(kind, mail) => {
                info!(kind = kind.as_str(), notification.id = %mail, %tenant, user.id = %user, event.id = event, request.id = request, "added to a pending mail");
            }
            Effect::Revive(mail) => {
                info!(notification.id = %mail, %tenant, user.id = %user, event.id = event, request.id = request, "decided to send a withdrawn mail after all");
            }
            Effect::Suppress(kind, reason) => {
                info!(kind = kind.as_str(), reason, %tenant, user.id = %user, event.id = event, request.id = request, "suppressed mail");
            }
            Effect::Park if !again => {
                info!(%tenant, user.id = %user, event.id = event, request.id = request, "parked an event: its user is unknown, or the tenant's settings cannot be read");
            }
            Effect::Erase => {
                info!(%tenant, user.id = %user, event.id = event, request.id = request, "erased a deleted user");
            }
            Effect::Drop => {
                info!(%tenant, user.id = %user, event.id = event, request.id = request, "dropped an event about an erased user");
            }
            effect => {
                debug!(?effect, %tenant, user.id = %user, event.id = event, request.id = request, "applied an event");
            }
        }
    }
}

//! Events and their effects, in one transaction: note them as taken, load what is known, decide, save. Before it:
//! [`crate::consumer`] and [`crate::parking`]; after it the events may be acknowledged, and the sender wakes.

use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection};
use shared::postgres::Error;
use shared::redact;
use shared::retry::Delays;
use time::OffsetDateTime;
use tracing::{debug, info};
use uuid::Uuid;
use wording::Kind;

use crate::changes::Changes;
use crate::decide::{Effect, decide};
use crate::intake::Incoming;
use crate::office::Office;
use crate::store::ledger::Cancelled;
use crate::store::received::{self, Key};
use crate::store::roster::People;

/// How often a batch is folded again at once when another transaction was in the way.
const FOLDS: u32 = 5;

/// An event whose tenant is known.
#[derive(Clone, Debug)]
pub struct Addressed {
    /// The tenant's id.
    pub tenant: Uuid,
    /// The event.
    pub incoming: Incoming,
    /// How often it was tried while it was parked, and since when; `None` if it comes from the queue.
    pub parked: Option<(i32, OffsetDateTime)>,
}

impl Addressed {
    /// What makes the event one.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.tenant, self.incoming.event.source.clone(), self.incoming.event.id.clone())
    }
}

/// What was decided about one event, by ids alone.
#[derive(Debug)]
struct Note {
    tenant: Uuid,
    user: Uuid,
    event: String,
    request: Option<String>,
    again: bool,
    effect: Effect,
}

/// What a transaction did: to be told once it is committed.
#[derive(Debug, Default)]
pub struct Done {
    notes: Vec<Note>,
    cancelled: Vec<(Cancelled, &'static str)>,
    duplicates: usize,
}

/// Takes a batch of events, each once. Returns after the commit.
///
/// # Errors
/// See [`Error`]; then nothing was taken.
pub async fn take(office: &Office, events: &[Addressed]) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let mut delays = Delays::collision();
    for _ in 0..FOLDS {
        match try_take(office, events).await {
            // Somebody else decided about the same person meanwhile: the next fold sees it.
            Err(Error::Taken { .. }) => {}
            Err(error) if error.is_collision() => delays.pause().await,
            Err(error) => return Err(error),
            Ok(done) => {
                done.tell(office);
                return Ok(());
            }
        }
    }
    Err(Error::Contention("several times in a row"))
}

async fn try_take(office: &Office, events: &[Addressed]) -> Result<Done, Error> {
    let (now, gather) = (office.clock.now(), office.gather);
    // Bounded, and its connection is not used again after a time-out; a commit that was not heard of is found by
    // the next attempt, in `received_events`.
    let transaction = async |connection: &mut AsyncPgConnection| {
        connection.transaction(async |connection| take_new(connection, events, now, gather).await).await
    };
    office.pool.bounded(transaction).await
}

async fn take_new(
    connection: &mut AsyncPgConnection,
    events: &[Addressed],
    now: OffsetDateTime,
    gather: Duration,
) -> Result<Done, Error> {
    let mut fresh = received::insert(connection, events.iter().map(Addressed::key).collect()).await?;
    // Removed when met: of two in one batch the first is taken.
    let new: Vec<&Addressed> = events.iter().filter(|event| fresh.remove(&event.key())).collect();
    let mut done = apply(connection, &new, now, gather).await?;
    done.duplicates = events.len() - new.len();
    Ok(done)
}

/// Decides about events and saves their effects; within a transaction of the caller's. Mail waits for so long as
/// `gather` for more to say.
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
        for effect in decide(&event.incoming.what, user.as_ref(), &mailed, people.chosen(event.tenant)) {
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

/// How long an event waits that was parked, and tried in vain `attempts` times: 2 s at first, an hour at last.
#[must_use]
pub fn parking_pause(attempts: i32) -> Duration {
    crate::backoff::pause(Duration::from_secs(2), attempts)
}

impl Done {
    /// Whether an event was parked.
    #[must_use]
    pub fn has_parked(&self) -> bool {
        self.notes.iter().any(|note| note.effect == Effect::Park)
    }

    /// Logs what was decided, by ids alone, and wakes whom it concerns.
    pub fn tell(&self, office: &Office) {
        for note in &self.notes {
            note.log();
            match note.effect {
                Effect::Send(_) | Effect::Revive(_) => office.mail.notify_one(),
                Effect::Unpark => office.parked.notify_one(),
                _ => {}
            }
        }
        for (mail, reason) in &self.cancelled {
            info!(notification.id = %mail.id, user.id = %mail.user, kind = mail.kind, reason, "suppressed pending mail");
        }
        if self.duplicates > 0 {
            debug!(duplicates = self.duplicates, "skipped events that were taken before");
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
                info!(kind = kind.as_str(), notification.id = %mail, %tenant, user.id = %user, event.id = event, request.id = request, "added to a mail that waits");
            }
            Effect::Revive(mail) => {
                info!(notification.id = %mail, %tenant, user.id = %user, event.id = event, request.id = request, "decided to send a mail that was withdrawn");
            }
            Effect::Suppress(kind, reason) => {
                info!(kind = kind.as_str(), reason, %tenant, user.id = %user, event.id = event, request.id = request, "suppressed mail");
            }
            Effect::Park if !again => {
                info!(%tenant, user.id = %user, event.id = event, request.id = request, "parked an event: its user is not known yet, or what the tenant chose cannot be read");
            }
            effect => {
                debug!(?effect, %tenant, user.id = %user, event.id = event, request.id = request, "took an event");
            }
        }
    }
}

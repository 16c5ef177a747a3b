//! Trying parked events again: when they are due, and at once when somebody appeared. After seven days in vain an
//! event goes to the dead-letter queue. Before it: `parked_events`; after it: [`crate::apply`].

use std::sync::Arc;
use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection};
use shared::amqp::dead::{self, Attempt};
use shared::amqp::{Message, Publisher, topology};
use shared::event::MEDIA_TYPE;
use shared::postgres::Error;
use shared::redact;
use shared::retry::Delays;
use shared::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::apply::{self, Addressed, Done};
use crate::intake;
use crate::office::Office;
use crate::store::parked::{self, Row};
use crate::store::received;

/// How often to look.
const LOOK: Duration = Duration::from_secs(1);
/// How long an event waits for its user before it is given up.
const PATIENCE: time::Duration = time::Duration::days(7);
/// Why it is given up then.
const UNKNOWN: &str =
    "within seven days its user has not appeared, or what its tenant chose could not be read";

/// What became of the parked event that was due.
enum Outcome {
    /// None was.
    Nothing,
    /// It was taken, which is to be told after the commit.
    Taken(Done),
    /// It was parked again, or given up.
    Tried,
    /// It stays where it is, for a minute: this was in the way.
    Stuck(received::Key, String),
}

/// Tries parked events until told to stop.
pub async fn run(office: Arc<Office>, publisher: Arc<Publisher>, stop: CancellationToken) {
    let (mut delays, mut complained) = (Delays::reconnect(), false);
    while !stop.is_cancelled() {
        match next(&office, &publisher).await {
            Ok(true) => delays.reset(),
            Ok(false) => {
                delays.reset();
                complained = false;
                tokio::select! {
                    () = office.parked.notified() => {}
                    go_on = pause(&stop, LOOK) => if !go_on { return },
                }
            }
            Err(error) => {
                // An outage is logged by whoever watches Postgres.
                if !error.is_transient() && !complained {
                    warn!(%error, "failed to look for parked events: trying until it works");
                    complained = true;
                }
                if !pause(&stop, delays.next_delay()).await {
                    return;
                }
            }
        }
    }
}

/// Tries the event that has been due longest. Says whether to try the next one at once.
async fn next(office: &Office, publisher: &Publisher) -> Result<bool, Error> {
    match one(office, publisher).await? {
        Outcome::Nothing => Ok(false),
        Outcome::Taken(done) => {
            done.tell(office);
            Ok(true)
        }
        Outcome::Tried => Ok(true),
        Outcome::Stuck(key, reason) => {
            warn!(event.id = redact::id(&key.2), reason, "failed to try a parked event again");
            office.pool.bounded(async |connection| parked::postpone(connection, &key).await).await?;
            // What is in the way may be in everybody's way: the next one is tried after a pause.
            Ok(false)
        }
    }
}

async fn one(office: &Office, publisher: &Publisher) -> Result<Outcome, Error> {
    let mut locked = None;
    let transaction = async |connection: &mut AsyncPgConnection| {
        connection
            .transaction(async |connection| try_due(office, publisher, connection, &mut locked).await)
            .await
    };
    let tried = office.pool.bounded(transaction).await;
    match (tried, locked) {
        (Ok(outcome), _) => Ok(outcome),
        (Err(error), Some(key)) if !error.is_transient() && !matches!(error, Error::Taken { .. }) => {
            Ok(Outcome::Stuck(key, error.to_string()))
        }
        (Err(error), _) => Err(error),
    }
}

async fn try_due(
    office: &Office,
    publisher: &Publisher,
    connection: &mut AsyncPgConnection,
    locked: &mut Option<received::Key>,
) -> Result<Outcome, Error> {
    let Some(row) = parked::lock_due(connection).await? else { return Ok(Outcome::Nothing) };
    let key = row.key();
    *locked = Some(key.clone());
    let now = office.clock.now();
    // It was valid when it was parked; it may not be for a later version of this program.
    let reason = match intake::from_value(row.event.clone()) {
        // A later version parked it: it is not for this one.
        Ok(None) => {
            parked::delete(connection, &key).await?;
            return Ok(Outcome::Tried);
        }
        Ok(Some(incoming)) => {
            let parked = Some((row.attempts, row.parked_at));
            let event = Addressed { tenant: row.tenant_id, incoming, parked };
            let done = apply::apply(connection, &[&event], now, office.gather).await?;
            if !done.has_parked() {
                parked::delete(connection, &key).await?;
                return Ok(Outcome::Taken(done));
            }
            if now - row.parked_at < PATIENCE {
                return Ok(Outcome::Tried);
            }
            UNKNOWN.to_owned()
        }
        Err(reason) => reason,
    };
    if let Err(error) = publisher.publish(&[letter(&row, &reason, now)]).await {
        return Ok(Outcome::Stuck(key, error.to_string()));
    }
    warn!(event.id = redact::id(&row.id), user.id = %row.user_id, reason, "sent a parked event to the dead-letter queue");
    parked::delete(connection, &key).await?;
    // So that it takes effect when an operator puts it back into the queue.
    received::forget(connection, &key).await?;
    Ok(Outcome::Tried)
}

fn letter(row: &Row, reason: &str, now: time::OffsetDateTime) -> Message {
    let id = shared::id::new().to_string();
    let body = row.event.to_string().into_bytes();
    let letter = Message::json("", topology::DEAD, &id, MEDIA_TYPE, body);
    let attempt = Attempt { at: now, worker: "notifier".to_owned(), what: reason.to_owned() };
    dead::explained(letter, topology::NOTIFIER, &[attempt])
}

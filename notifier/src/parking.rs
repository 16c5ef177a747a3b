//! Retries parked events: when they are due, and at once when their user is created or restored. After seven days an
//! event goes to the dead-letter queue.

use std::sync::Arc;
use std::time::Duration;

use amqp::dead::{self, Attempt};
use amqp::{Message, Publisher, topology};
use database::Error;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use domain::event::MEDIA_TYPE;
use platform::redact;
use platform::retry::Delays;
use platform::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::addressed::Addressed;
use crate::apply::{self, Done};
use crate::intake;
use crate::shared_state::SharedState;
use crate::store::parked::{self, ParkedRow};
use crate::store::received;

/// The polling interval.
const LOOK: Duration = Duration::from_secs(1);
/// How long an event may stay parked.
const TIMEOUT: time::Duration = time::Duration::days(7);
/// The reason given after that.
const UNKNOWN: &str = "for seven days its user was unknown or its tenant's settings could not be read";

/// The outcome of a retry.
enum Outcome {
    /// No event was due.
    Nothing,
    /// It was applied; to be logged after the commit.
    Taken(Done),
    /// It was parked again, dropped, or sent to the dead-letter queue.
    Tried,
    /// It could not be retried, for this reason; the next attempt is in a minute.
    Stuck(received::Key, String),
}

/// Retries parked events until stopped.
pub async fn run(shared: Arc<SharedState>, publisher: Arc<Publisher>, stop: CancellationToken) {
    let (mut delays, mut complained) = (Delays::reconnect(), false);
    while !stop.is_cancelled() {
        match next(&shared, &publisher).await {
            Ok(true) => delays.reset(),
            Ok(false) => {
                delays.reset();
                complained = false;
                tokio::select! {
                    () = shared.parked.notified() => {}
                    go_on = pause(&stop, LOOK) => if !go_on { return },
                }
            }
            Err(error) => {
                // Outages are logged by the task that watches Postgres.
                if !error.is_transient() && !complained {
                    warn!(%error, "failed to look for parked events: retrying until it succeeds");
                    complained = true;
                }
                if !pause(&stop, delays.next_delay()).await {
                    return;
                }
            }
        }
    }
}

/// Retries the event that has been due longest. Returns whether to continue with the next one at once.
async fn next(shared: &SharedState, publisher: &Publisher) -> Result<bool, Error> {
    match one(shared, publisher).await? {
        Outcome::Nothing => Ok(false),
        Outcome::Taken(done) => {
            done.log_and_wake(shared);
            Ok(true)
        }
        Outcome::Tried => Ok(true),
        Outcome::Stuck(key, reason) => {
            warn!(event.id = redact::id(&key.2), reason, "failed to retry a parked event");
            shared.pool.bounded(async |connection| parked::postpone(connection, &key).await).await?;
            // The next event may fail for the same reason, so pause first.
            Ok(false)
        }
    }
}

async fn one(shared: &SharedState, publisher: &Publisher) -> Result<Outcome, Error> {
    let mut locked = None;
    let transaction = async |connection: &mut AsyncPgConnection| {
        connection
            .transaction(async |connection| try_due(shared, publisher, connection, &mut locked).await)
            .await
    };
    let tried = shared.pool.bounded(transaction).await;
    match (tried, locked) {
        (Ok(outcome), _) => Ok(outcome),
        (Err(error), Some(key)) if !error.is_transient() && !matches!(error, Error::Taken { .. }) => {
            Ok(Outcome::Stuck(key, error.to_string()))
        }
        (Err(error), _) => Err(error),
    }
}

async fn try_due(
    shared: &SharedState,
    publisher: &Publisher,
    connection: &mut AsyncPgConnection,
    locked: &mut Option<received::Key>,
) -> Result<Outcome, Error> {
    let Some(row) = parked::lock_due(connection).await? else { return Ok(Outcome::Nothing) };
    let key = row.key();
    *locked = Some(key.clone());
    let now = shared.clock.now();
    // The event was valid when it was parked, but may be invalid for another version of this program.
    let reason = match intake::from_value(row.event.clone(), now) {
        // A later version parked it; this version does not handle its type.
        Ok(None) => {
            parked::delete(connection, &key).await?;
            return Ok(Outcome::Tried);
        }
        Ok(Some(incoming)) => {
            let parked = Some((row.attempts, row.parked_at));
            let event = Addressed { tenant: row.tenant_id, incoming, parked };
            let done = apply::apply(connection, &[&event], now, shared.gather).await?;
            if !done.has_parked() {
                parked::delete(connection, &key).await?;
                return Ok(Outcome::Taken(done));
            }
            if now - row.parked_at < TIMEOUT {
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
    // Allows an operator to move the event from the dead-letter queue back into the queue.
    received::forget(connection, &key).await?;
    Ok(Outcome::Tried)
}

/// The dead letter of a parked event.
pub fn letter(row: &ParkedRow, reason: &str, now: time::OffsetDateTime) -> Message {
    let id = platform::id::new().to_string();
    let body = row.event.to_string().into_bytes();
    let letter = Message::json(topology::DEAD_LETTERS, topology::DEAD, &id, MEDIA_TYPE, body);
    let attempt = Attempt { at: now, worker: "notifier".to_owned(), what: reason.to_owned() };
    dead::explained(letter, topology::NOTIFIER, &[attempt])
}

//! The outbox relay: publishes events in order, with publisher confirms, and deletes them once confirmed. After a crash
//! between the two an event may be published twice, but none is lost.

use std::sync::Arc;
use std::time::Duration;

use amqp::{Message, Publisher, topology};
use database::schema::outbox;
use database::{self, Pool};
use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use domain::event;
use platform::retry::Delays;
use platform::shutdown;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The maximum number of events in one transaction. While the queue rejects messages it is halved: it may have room for
/// fewer.
const LIMIT: i64 = 500;
/// How often to poll the outbox without a notification: another worker may have died with events in it.
const POLL: Duration = Duration::from_secs(1);
/// How long to wait while another worker holds the lock. That worker may have read the outbox before our batch
/// committed.
const RETRY: Duration = Duration::from_millis(50);

/// Only one worker relays at a time, which keeps the order of the outbox. Others do not block on the lock.
const LOCK: &str = "select pg_try_advisory_xact_lock(7241990418) as is_ours";

#[derive(QueryableByName)]
struct Lock {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    is_ours: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Postgres(#[from] database::Error),
    #[error(transparent)]
    Amqp(#[from] amqp::Error),
    #[error("a stored event cannot be serialized")]
    Event(#[from] serde_json::Error),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Postgres(error.into())
    }
}

/// Relays until `stop`, then drains the outbox. `wake_relay` signals that a batch with events was committed.
pub async fn run(pool: Pool, publisher: Publisher, wake_relay: Arc<Notify>, stop: CancellationToken) {
    let mut delays = Delays::reconnect();
    let (mut waiting, mut limit) = (false, LIMIT);
    loop {
        match relay(&pool, &publisher, limit).await {
            Ok(relayed) => {
                delays.reset();
                waiting = false;
                limit = LIMIT.min(limit * 2);
                match relayed {
                    Some(0) if stop.is_cancelled() => return,
                    Some(0) => tokio::select! {
                        () = wake_relay.notified() => {}
                        () = tokio::time::sleep(POLL) => {}
                        () = stop.cancelled() => {}
                    },
                    Some(count) => debug!(events = count, "events relayed"),
                    None => tokio::time::sleep(RETRY).await,
                }
            }
            Err(error) => {
                if !waiting {
                    warn!(%error, "failed to relay events, they stay in the outbox");
                }
                waiting = true;
                if matches!(error, Error::Amqp(amqp::Error::Refused)) {
                    limit = (limit / 2).max(1);
                }
                if !shutdown::pause(&stop, delays.next_delay()).await {
                    return;
                }
            }
        }
    }
}

/// Publishes the oldest events and deletes them. Returns how many; `None` if another worker holds the lock.
async fn relay(pool: &Pool, publisher: &Publisher, limit: i64) -> Result<Option<usize>, Error> {
    let mut connection = pool.get().await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    connection
        .transaction(async |connection: &mut AsyncPgConnection| {
            let lock: Lock = diesel::sql_query(LOCK).get_result(connection).await?;
            if !lock.is_ours {
                return Ok(None);
            }
            let query = outbox::table.order(outbox::position).limit(limit);
            let rows: Vec<(i64, String, Value)> =
                query.select((outbox::position, outbox::kind, outbox::event)).load(connection).await?;
            if rows.is_empty() {
                return Ok(Some(0));
            }
            let messages = rows.iter().map(message).collect::<Result<Vec<_>, _>>()?;
            publisher.publish(&messages).await?;
            let published = rows.iter().map(|(position, ..)| *position);
            diesel::delete(outbox::table.filter(outbox::position.eq_any(published)))
                .execute(connection)
                .await?;
            Ok(Some(rows.len()))
        })
        .await
}

fn message((_, kind, event): &(i64, String, Value)) -> Result<Message, serde_json::Error> {
    let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
    let message = Message::json(topology::EVENTS, kind, id, event::MEDIA_TYPE, serde_json::to_vec(event)?);
    Ok(Message { mandatory: topology::is_followed(kind), ..message })
}

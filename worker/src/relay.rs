//! From the outbox to the broker: publishes events in order, with confirms, and deletes what was confirmed. An event
//! may be published twice after a crash in between, never not at all. Before: [`crate::store`]. After: the consumers.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use shared::amqp::{Message, Publisher, topology};
use shared::event;
use shared::postgres::schema::outbox;
use shared::postgres::{self, Pool};
use shared::retry::Delays;
use shared::shutdown;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// The most events that are published in one go.
const LIMIT: i64 = 500;
/// How often the outbox is looked at though nobody rang: another worker may have died with events in it.
const POLL: Duration = Duration::from_secs(1);
/// How long to wait for one's turn after a batch, while another worker has it: it may have looked before the batch was committed.
const TURN: Duration = Duration::from_millis(50);

/// One worker relays at a time: the order is the outbox's. Nobody waits for it in the database.
const LOCK: &str = "select pg_try_advisory_xact_lock(7241990418) as is_ours";

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    is_ours: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    #[error(transparent)]
    Amqp(#[from] shared::amqp::Error),
    #[error("a stored event has no JSON form")]
    Event(#[from] serde_json::Error),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Postgres(error.into())
    }
}

/// Relays until `stop`, and then what is left. `bell` rings when a batch with events was committed.
pub async fn run(pool: Pool, publisher: Publisher, bell: Arc<Notify>, stop: CancellationToken) {
    let mut delays = Delays::reconnect();
    let mut waiting = false;
    loop {
        match relay(&pool, &publisher).await {
            Ok(relayed) => {
                delays.reset();
                waiting = false;
                match relayed {
                    Some(0) if stop.is_cancelled() => return,
                    Some(0) => tokio::select! {
                        () = bell.notified() => {}
                        () = tokio::time::sleep(POLL) => {}
                        () = stop.cancelled() => {}
                    },
                    Some(count) => debug!(events = count, "events relayed"),
                    None => tokio::time::sleep(TURN).await,
                }
            }
            Err(error) => {
                if !waiting {
                    warn!(%error, "the events wait in the outbox");
                }
                waiting = true;
                if !shutdown::pause(&stop, delays.next_delay()).await {
                    return;
                }
            }
        }
    }
}

/// Publishes the oldest events and forgets them; tells how many they were. `None` if it is another worker's turn.
async fn relay(pool: &Pool, publisher: &Publisher) -> Result<Option<usize>, Error> {
    let mut connection = pool.get().await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    connection
        .transaction(async |connection: &mut AsyncPgConnection| {
            let turn: Turn = diesel::sql_query(LOCK).get_result(connection).await?;
            if !turn.is_ours {
                return Ok(None);
            }
            let query = outbox::table.order(outbox::position).limit(LIMIT);
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

//! A snapshot of the broker and the database. If one is unavailable, the snapshot records that and contains the other.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use amqp::{Link, topology};
use diesel::sql_types::{BigInt, Double, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::{Error, Operator};

/// The queues to show.
const QUEUES: [&str; 5] =
    [topology::COMMANDS, topology::BULK, topology::NOTIFIER, topology::ROLES, topology::DEAD];
/// How long to wait for the broker.
const TIMEOUT: Duration = Duration::from_secs(5);

const WORKERS: &str = "select id, host, pid, version, started_at, queues, \
    extract(epoch from clock_timestamp() - seen_at)::float8 as silent_s from workers order by started_at, id";
const OUTBOX: &str = "select count(*) as length, \
    extract(epoch from clock_timestamp() - min(created_at))::float8 as oldest_s from outbox";

/// A snapshot.
pub struct Look {
    /// When it was taken, to measure the time between two.
    pub(super) at: Instant,
    /// The same as a time of day.
    pub(super) now: OffsetDateTime,
    /// The queues, or why the broker is unavailable.
    pub(super) broker: Result<Vec<Queue>, String>,
    /// The outbox and the workers, or why the database is unavailable.
    pub(super) database: Result<Database, String>,
}

/// A queue.
pub(super) struct Queue {
    pub name: &'static str,
    /// Messages that are not delivered to a consumer.
    pub ready: u32,
    pub consumers: u32,
    /// When the oldest command was issued. Only for queues without consumers.
    pub first: Option<OffsetDateTime>,
}

/// The data from Postgres.
pub(super) struct Database {
    pub outbox: Outbox,
    pub workers: Vec<Worker>,
}

/// The outbox: events that are not relayed yet.
#[derive(QueryableByName)]
pub(super) struct Outbox {
    #[diesel(sql_type = BigInt)]
    pub length: i64,
    #[diesel(sql_type = Nullable<Double>)]
    pub oldest_s: Option<f64>,
}

/// A row of `workers`.
#[derive(QueryableByName)]
pub(super) struct Worker {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub host: String,
    #[diesel(sql_type = BigInt)]
    pub pid: i64,
    #[diesel(sql_type = Text)]
    pub version: String,
    #[diesel(sql_type = Timestamptz)]
    pub started_at: OffsetDateTime,
    #[diesel(sql_type = Jsonb)]
    pub queues: Value,
    #[diesel(sql_type = Double)]
    pub silent_s: f64,
}

/// Takes snapshots. Keeps its broker connection while it works.
#[derive(Default)]
pub struct Observer {
    link: Option<Link>,
    /// The oldest command of queues without consumers. It is read once, because each read counts as a delivery.
    first: HashMap<&'static str, OffsetDateTime>,
}

impl Observer {
    /// Takes a snapshot.
    pub async fn look(&mut self, operator: &Operator) -> Look {
        let late = |_| Err("RabbitMQ does not respond".to_owned());
        let queues = async {
            let queues = self.queues(operator).await;
            queues.map_err(|error| error.to_string())
        };
        let queues = tokio::time::timeout(TIMEOUT, queues);
        let (queues, database) = tokio::join!(queues, from_database(operator));
        let broker = queues.unwrap_or_else(late);
        if broker.is_err() {
            self.link = None;
        }
        let database = database.map_err(|error| error.to_string());
        Look { at: Instant::now(), now: operator.clock.now(), broker, database }
    }

    async fn queues(&mut self, operator: &Operator) -> Result<Vec<Queue>, Error> {
        let link = match &self.link {
            Some(link) => link.clone(),
            None => self.link.insert(operator.link().await?).clone(),
        };
        let mut queues = Vec::new();
        for name in QUEUES {
            let channel = link.channel(false).await?;
            let passive = QueueDeclareOptions::durable().passive();
            let state = channel.queue_declare(name.into(), passive, FieldTable::default()).await?;
            channel.close(200, "looked".into()).await?;
            let (ready, consumers) = (state.message_count(), state.consumer_count());
            let waits = [topology::COMMANDS, topology::BULK].contains(&name) && ready > 0 && consumers == 0;
            let first = if waits { self.first(&link, name).await? } else { None };
            if first.is_none() {
                self.first.remove(name);
            }
            queues.push(Queue { name, ready, consumers, first });
        }
        Ok(queues)
    }

    async fn first(&mut self, link: &Link, queue: &'static str) -> Result<Option<OffsetDateTime>, Error> {
        if let Some(known) = self.first.get(queue) {
            return Ok(Some(*known));
        }
        let channel = link.channel(false).await?;
        let message = channel.basic_get(queue.into(), BasicGetOptions::default()).await?;
        // Closing the channel requeues the message.
        channel.close(200, "looked".into()).await?;
        let issued = message.and_then(|message| issued_at(&message.delivery.data));
        self.first.extend(issued.map(|at| (queue, at)));
        Ok(issued)
    }
}

fn issued_at(command: &[u8]) -> Option<OffsetDateTime> {
    let command: Value = serde_json::from_slice(command).ok()?;
    OffsetDateTime::parse(command.get("issued_at")?.as_str()?, &Rfc3339).ok()
}

async fn from_database(operator: &Operator) -> Result<Database, database::Error> {
    let read = operator.pool.bounded(async |connection| {
        let outbox = sql_query(OUTBOX).get_result(connection).await?;
        let workers = sql_query(WORKERS).load(connection).await?;
        Ok(Database { outbox, workers })
    });
    read.await
}

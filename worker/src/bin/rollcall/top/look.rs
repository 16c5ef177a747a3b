//! One look at the broker and the database. Either may be away: then the look says so, and holds the rest. After: `screen`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Double, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::Value;
use shared::amqp::{Link, topology};
use shared::postgres;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::context::{Context, Failure};

/// The queues that are shown.
const QUEUES: [&str; 5] =
    [topology::COMMANDS, topology::BULK, topology::NOTIFIER, topology::ROLES, topology::DEAD];
/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const WORKERS: &str = "select id, host, pid, version, started_at, queues, \
    extract(epoch from clock_timestamp() - seen_at)::float8 as silent_s from workers order by started_at, id";
const OUTBOX: &str = "select count(*) as length, \
    extract(epoch from clock_timestamp() - min(created_at))::float8 as oldest_s from outbox";

/// What is seen at one moment.
pub struct Look {
    pub at: Instant,
    /// The queues, or why they cannot be seen.
    pub broker: Result<Vec<Queue>, String>,
    /// Outbox and workers, or why they cannot be seen.
    pub database: Result<Database, String>,
}

/// A queue.
pub struct Queue {
    pub name: &'static str,
    /// Messages that nobody has in hand.
    pub ready: u32,
    pub consumers: u32,
    /// When the first command was issued, where nobody consumes.
    pub first: Option<OffsetDateTime>,
}

/// What Postgres tells.
pub struct Database {
    pub outbox: Outbox,
    pub workers: Vec<Worker>,
}

/// The events that are not relayed yet.
#[derive(QueryableByName)]
pub struct Outbox {
    #[diesel(sql_type = BigInt)]
    pub length: i64,
    #[diesel(sql_type = Nullable<Double>)]
    pub oldest_s: Option<f64>,
}

/// A worker's row.
#[derive(QueryableByName)]
pub struct Worker {
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

/// Looks again and again, over one link while it holds.
#[derive(Default)]
pub struct Eyes {
    link: Option<Link>,
    /// The first command of a queue that nobody consumes. It is looked at once: each look counts as a delivery.
    first: HashMap<&'static str, OffsetDateTime>,
}

impl Eyes {
    /// A look at all that can be seen.
    pub async fn look(&mut self, context: &Context) -> Look {
        let late = |_| Err("RabbitMQ does not answer".to_owned());
        let queues = async {
            let queues = self.queues(context).await;
            queues.map_err(|error| error.to_string())
        };
        let queues = tokio::time::timeout(PATIENCE, queues);
        let (queues, database) = tokio::join!(queues, database(context));
        let broker = queues.unwrap_or_else(late);
        if broker.is_err() {
            self.link = None;
        }
        Look { at: Instant::now(), broker, database: database.map_err(|error| error.to_string()) }
    }

    async fn queues(&mut self, context: &Context) -> Result<Vec<Queue>, Failure> {
        let link = match &self.link {
            Some(link) => link.clone(),
            None => self.link.insert(context.link().await?).clone(),
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

    async fn first(&mut self, link: &Link, queue: &'static str) -> Result<Option<OffsetDateTime>, Failure> {
        if let Some(known) = self.first.get(queue) {
            return Ok(Some(*known));
        }
        let channel = link.channel(false).await?;
        let message = channel.basic_get(queue.into(), BasicGetOptions::default()).await?;
        // Given back to its place.
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

async fn database(context: &Context) -> Result<Database, postgres::Error> {
    let read = context.pool.bounded(async |connection| {
        let outbox = sql_query(OUTBOX).get_result(connection).await?;
        let workers = sql_query(WORKERS).load(connection).await?;
        Ok(Database { outbox, workers })
    });
    read.await
}

//! The overview of queues and workers: two snapshots, and the rates between them.

mod look;

use std::time::Duration;

use amqp::topology;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

pub use self::look::{Look, Observer};
use crate::moments;

/// A worker without a report for this many seconds is shown as silent.
const SILENT: f64 = 5.0;

/// The overview at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// `ok`, or why the broker is unavailable.
    pub rabbitmq: String,
    /// `ok`, or why the database is unavailable.
    pub postgres: String,
    /// The queues; none if the broker is unavailable.
    pub queues: Vec<Queue>,
    /// The outbox; `None` if the database is unavailable.
    pub outbox: Option<Outbox>,
    /// The workers; none if the database is unavailable.
    pub workers: Vec<Worker>,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queue {
    /// Its name.
    pub name: &'static str,
    /// Messages that are not delivered to a consumer.
    pub ready: u32,
    /// The number of consumers.
    pub consumers: u32,
    /// The age of the oldest command, in seconds.
    pub oldest_s: Option<f64>,
    /// Commands that arrived, per second.
    pub in_per_s: Option<f64>,
    /// Commands that were decided, per second.
    pub out_per_s: Option<f64>,
}

/// The outbox: events that are not relayed yet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outbox {
    /// The number of events.
    pub length: i64,
    /// The age of the oldest one, in seconds.
    pub oldest_s: Option<f64>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worker {
    /// Its id.
    pub id: Uuid,
    /// Its host and process id, as `host:pid`.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its process id.
    pub pid: i64,
    /// Its version.
    pub version: String,
    /// When it was started.
    #[serde(with = "moments")]
    pub started_at: OffsetDateTime,
    /// For how many seconds it has not reported, if that is long.
    pub silent_s: Option<f64>,
    /// Commands that it decided, per second.
    pub per_s: f64,
    /// Commands that it decided since it was started.
    pub decided: u64,
    /// What it does on each queue, as it reports it.
    pub queues: Value,
}

impl Overview {
    /// The snapshot `now`, with rates since `before`.
    #[must_use]
    pub fn of(before: &Look, now: &Look) -> Self {
        let (seen_before, seen) = (workers(before), workers(now));
        let queues = now.broker.as_ref().map_or(&[][..], |queues| queues.as_slice());
        let earlier = before.broker.as_ref().map_or(&[][..], |queues| queues.as_slice());
        let rates = Rates {
            time: now.at.saturating_duration_since(before.at),
            now: now.now,
            workers: now.database.is_ok().then_some((&seen_before[..], &seen[..])),
        };
        let queues = queues.iter().map(|queue| {
            let earlier = earlier.iter().find(|earlier| earlier.name == queue.name);
            rates.queue(queue, earlier)
        });
        let outbox = now.database.as_ref().ok().map(|database| Outbox {
            length: database.outbox.length,
            oldest_s: database.outbox.oldest_s.map(rounded),
        });
        Self {
            rabbitmq: now.broker.as_ref().err().map_or("ok", String::as_str).to_owned(),
            postgres: now.database.as_ref().err().map_or("ok", String::as_str).to_owned(),
            queues: queues.collect(),
            outbox,
            workers: seen.iter().map(|worker| worker.shown(&seen_before, rates.time)).collect(),
        }
    }

    /// Why the broker or the database is unavailable, if one is.
    #[must_use]
    pub fn unavailable(&self) -> Option<String> {
        let away: Vec<&str> =
            [&*self.rabbitmq, &*self.postgres].into_iter().filter(|state| *state != "ok").collect();
        (!away.is_empty()).then(|| away.join("; "))
    }
}

fn workers(look: &Look) -> Vec<Seen<'_>> {
    look.database.iter().flat_map(|database| &database.workers).map(Seen::of).collect()
}

/// A row of `workers` with its queues.
struct Seen<'a> {
    row: &'a look::Worker,
    queues: &'a [Value],
}

impl<'a> Seen<'a> {
    fn of(row: &'a look::Worker) -> Self {
        Self { row, queues: row.queues.as_array().map_or(&[], Vec::as_slice) }
    }

    /// How many commands the worker has decided, for one queue or in total.
    fn decided(&self, queue: Option<&str>) -> u64 {
        let counted = self.queues.iter().filter(|state| queue.is_none_or(|name| state["queue"] == name));
        counted.filter_map(|state| state["decided"].as_u64()).sum()
    }

    /// How many commands the worker has decided since `before`; all of them if it was not in `before`.
    fn progress(&self, before: &[Seen<'_>], queue: Option<&str>) -> u64 {
        let earlier = before.iter().find(|earlier| earlier.row.id == self.row.id);
        self.decided(queue).saturating_sub(earlier.map_or(0, |earlier| earlier.decided(queue)))
    }

    fn shown(&self, before: &[Seen<'_>], time: Duration) -> Worker {
        let row = self.row;
        Worker {
            id: row.id,
            name: format!("{}:{}", row.host, row.pid),
            host: row.host.clone(),
            pid: row.pid,
            version: row.version.clone(),
            started_at: row.started_at,
            silent_s: (row.silent_s > SILENT).then(|| rounded(row.silent_s)),
            per_s: rounded(per_second(self.progress(before, None), time)),
            decided: self.decided(None),
            queues: row.queues.clone(),
        }
    }
}

/// What the rates of a queue are computed from.
struct Rates<'a> {
    /// The time between the two snapshots.
    time: Duration,
    now: OffsetDateTime,
    /// The workers in both, if the database is available.
    workers: Option<(&'a [Seen<'a>], &'a [Seen<'a>])>,
}

impl Rates<'_> {
    fn queue(&self, queue: &look::Queue, earlier: Option<&look::Queue>) -> Queue {
        let is_ours = [topology::COMMANDS, topology::BULK].contains(&queue.name);
        let out = self.workers.filter(|_| is_ours).map(|(before, now)| {
            let decided: u64 = now.iter().map(|worker| worker.progress(before, Some(queue.name))).sum();
            per_second(decided, self.time)
        });
        let growth = earlier.map(|earlier| {
            (f64::from(queue.ready) - f64::from(earlier.ready))
                / self.time.as_secs_f64().max(f64::MIN_POSITIVE)
        });
        // Arrivals are departures plus growth.
        let inward = out.zip(growth).map(|(out, growth)| (out + growth).max(0.0));
        // The commands of a silent worker are redelivered to others.
        let workers = self.workers.into_iter().flat_map(|(_, now)| now);
        let live = workers.filter(|worker| worker.row.silent_s <= SILENT);
        let held = live.flat_map(|worker| worker.queues);
        let held = held.filter(|state| state["queue"] == queue.name);
        let held = held.filter_map(|state| OffsetDateTime::parse(state["oldest"].as_str()?, &Rfc3339).ok());
        let oldest = held.chain(queue.first).min();
        Queue {
            name: queue.name,
            ready: queue.ready,
            consumers: queue.consumers,
            oldest_s: oldest.map(|oldest| rounded((self.now - oldest).as_seconds_f64())),
            in_per_s: inward.map(rounded),
            out_per_s: out.map(rounded),
        }
    }
}

fn per_second(count: u64, time: Duration) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    count / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// Rounds to one decimal.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

//! Two looks as one object, which `--json` prints, and that object as text. Before: `look`.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use shared::amqp::topology;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::look::{Look, Queue, Worker};

/// A worker that is silent for longer is said to be so.
const SILENT: f64 = 5.0;

/// What `now` shows, with the rates since `before`.
pub fn object(before: &Look, now: &Look) -> Value {
    let time = now.at.saturating_duration_since(before.at);
    let (seen_before, seen) = (workers(before), workers(now));
    let queues = now.broker.as_ref().map_or(&[][..], |queues| queues.as_slice());
    let earlier = before.broker.as_ref().map_or(&[][..], |queues| queues.as_slice());
    let queues: Vec<Value> = queues
        .iter()
        .map(|queue| {
            let earlier = earlier.iter().find(|earlier| earlier.name == queue.name);
            queue_object(queue, earlier, now.database.is_ok().then_some((&seen_before[..], &seen[..])), time)
        })
        .collect();
    let outbox = now.database.as_ref().ok().map(|database| {
        json!({ "length": database.outbox.length, "oldest_s": database.outbox.oldest_s.map(rounded) })
    });
    json!({
        "rabbitmq": now.broker.as_ref().err().map_or("ok", String::as_str),
        "postgres": now.database.as_ref().err().map_or("ok", String::as_str),
        "queues": queues,
        "outbox": outbox,
        "workers": seen.iter().map(|worker| worker_object(worker, &seen_before, time)).collect::<Vec<_>>(),
    })
}

fn workers(look: &Look) -> Vec<Seen<'_>> {
    look.database.iter().flat_map(|database| &database.workers).map(Seen::of).collect()
}

/// A worker's row, with what its queues hold.
struct Seen<'a> {
    row: &'a Worker,
    queues: &'a [Value],
}

impl<'a> Seen<'a> {
    fn of(row: &'a Worker) -> Self {
        Self { row, queues: row.queues.as_array().map_or(&[], Vec::as_slice) }
    }

    /// How many commands it has decided, for one queue or for all.
    fn decided(&self, queue: Option<&str>) -> u64 {
        let counted = self.queues.iter().filter(|state| queue.is_none_or(|name| state["queue"] == name));
        counted.filter_map(|state| state["decided"].as_u64()).sum()
    }

    /// How many it has decided since `before`; all, if it was not there then.
    fn progress(&self, before: &[Seen<'_>], queue: Option<&str>) -> u64 {
        let earlier = before.iter().find(|earlier| earlier.row.id == self.row.id);
        self.decided(queue).saturating_sub(earlier.map_or(0, |earlier| earlier.decided(queue)))
    }
}

type Both<'a> = Option<(&'a [Seen<'a>], &'a [Seen<'a>])>;

fn queue_object(queue: &Queue, earlier: Option<&Queue>, workers: Both<'_>, time: Duration) -> Value {
    let is_ours = [topology::COMMANDS, topology::BULK].contains(&queue.name);
    let out = workers.filter(|_| is_ours).map(|(before, now)| {
        let decided: u64 = now.iter().map(|worker| worker.progress(before, Some(queue.name))).sum();
        per_second(decided, time)
    });
    let growth = earlier.map(|earlier| {
        (f64::from(queue.ready) - f64::from(earlier.ready)) / time.as_secs_f64().max(f64::MIN_POSITIVE)
    });
    // What came in is what went out and what stayed.
    let inward = out.zip(growth).map(|(out, growth)| (out + growth).max(0.0));
    // What a silent one held is somebody else's by now.
    let heard = workers.into_iter().flat_map(|(_, now)| now).filter(|worker| worker.row.silent_s <= SILENT);
    let held = heard.flat_map(|worker| worker.queues);
    let held = held.filter(|state| state["queue"] == queue.name);
    let held = held.filter_map(|state| OffsetDateTime::parse(state["oldest"].as_str()?, &Rfc3339).ok());
    let now = shared::clock::Clock::System.now();
    json!({
        "name": queue.name,
        "ready": queue.ready,
        "consumers": queue.consumers,
        "oldest_s": held.chain(queue.first).min().map(|oldest| rounded((now - oldest).as_seconds_f64())),
        "in_per_s": inward.map(rounded),
        "out_per_s": out.map(rounded),
    })
}

fn worker_object(worker: &Seen<'_>, before: &[Seen<'_>], time: Duration) -> Value {
    let row = worker.row;
    json!({
        "id": row.id,
        "name": format!("{}:{}", row.host, row.pid),
        "host": row.host,
        "pid": row.pid,
        "version": row.version,
        "started_at": shared::scim::timestamp(row.started_at),
        "silent_s": (row.silent_s > SILENT).then(|| rounded(row.silent_s)),
        "per_s": rounded(per_second(worker.progress(before, None), time)),
        "decided": worker.decided(None),
        "queues": row.queues,
    })
}

fn per_second(count: u64, time: Duration) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    count / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// To a tenth: more is noise.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// The object for people.
pub fn text(object: &Value) -> String {
    let mut text = String::new();
    for (name, key) in [("RabbitMQ", "rabbitmq"), ("PostgreSQL", "postgres")] {
        if object[key] != "ok" {
            let _ = writeln!(text, "{name} cannot be seen: {}", word(&object[key]));
        }
    }
    let _ = writeln!(
        text,
        "{:<24}{:>9}{:>11}{:>10}{:>9}{:>9}",
        "QUEUE", "READY", "CONSUMERS", "OLDEST s", "IN/s", "OUT/s"
    );
    for queue in object["queues"].as_array().into_iter().flatten() {
        let cells =
            ["name", "ready", "consumers", "oldest_s", "in_per_s", "out_per_s"].map(|f| word(&queue[f]));
        let [name, ready, consumers, oldest, inward, out] = cells;
        let _ = writeln!(text, "{name:<24}{ready:>9}{consumers:>11}{oldest:>10}{inward:>9}{out:>9}");
    }
    let outbox = &object["outbox"];
    let _ =
        writeln!(text, "{:<24}{:>9}{:>21}\n", "outbox", word(&outbox["length"]), word(&outbox["oldest_s"]));
    let _ = writeln!(text, "{:<24}{:<26}{:>9}  DOES", "WORKER", "UP SINCE", "CMD/s");
    for worker in object["workers"].as_array().into_iter().flatten() {
        let does = match worker["silent_s"].as_f64() {
            Some(seconds) => format!("silent for {seconds:.0} s"),
            None => {
                worker["queues"].as_array().into_iter().flatten().map(does).collect::<Vec<_>>().join("; ")
            }
        };
        let [name, since, rate] = ["name", "started_at", "per_s"].map(|field| word(&worker[field]));
        let _ = writeln!(text, "{name:<24}{since:<26}{rate:>9}  {does}");
    }
    text
}

/// What a worker does for a queue.
fn does(state: &Value) -> String {
    let queue = if state["queue"] == topology::BULK { "bulk" } else { "commands" };
    match state["in_hand"].as_u64() {
        Some(in_hand) if in_hand > 0 => {
            format!("{queue}: {} {in_hand} since {}", word(&state["doing"]), word(&state["since"]))
        }
        _ => format!("{queue}: {}", word(&state["doing"])),
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    }
}

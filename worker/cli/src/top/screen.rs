//! The overview as text.

use std::fmt::Write;

use amqp::topology;
use serde_json::Value;

/// The overview, given as its JSON object, as text.
pub fn text(object: &Value) -> String {
    let mut text = String::new();
    for (name, key) in [("RabbitMQ", "rabbitmq"), ("PostgreSQL", "postgres")] {
        if object[key] != "ok" {
            let _ = writeln!(text, "{name} is unavailable: {}", word(&object[key]));
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
    let _ = writeln!(text, "{:<24}{:<26}{:>9}  STATUS", "WORKER", "UP SINCE", "CMD/s");
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

/// A worker's status on a queue.
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
        // A line stays one line.
        Value::String(text) => text.replace(['\r', '\n'], " "),
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    }
}

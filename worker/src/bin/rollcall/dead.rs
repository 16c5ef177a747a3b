//! `rollcall dead`: what could not be dealt with, and putting it back where it came from.

use std::io::IsTerminal;

use clap::{Args, Subcommand};
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use serde_json::{Value, json};
use shared::amqp::{Message, Publisher, dead, topology};

use crate::context::{Context, Failure};
use crate::output;

/// The commands of `rollcall dead`.
#[derive(Subcommand)]
pub enum Command {
    /// Lists dead letters, oldest first, with their reasons.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Puts dead letters back into the queue that they came from.
    Redrive(Redrive),
}

/// What to put back.
#[derive(Args)]
#[group(required = true)]
pub struct Redrive {
    /// All of them.
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// Those with these ids, as `rollcall dead list` shows them.
    #[arg(long)]
    id: Vec<String>,
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { limit } => list(context, limit).await,
        Command::Redrive(what) => redrive(context, &what).await,
    }
}

async fn list(context: &Context, limit: usize) -> Result<(), Failure> {
    let link = context.link().await?;
    let channel = link.channel(false).await?;
    let mut letters = Vec::new();
    while letters.len() < limit {
        let Some(letter) = next(&channel).await? else { break };
        letters.push(letter);
    }
    let objects: Vec<Value> = letters.iter().map(describe).collect();
    // What was looked at goes back to its place.
    channel.close(200, "looked".into()).await?;
    if context.json {
        output::json(&Value::Array(objects));
        return Ok(());
    }
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or("-").to_owned();
    let row = |o: &Value| vec![text(o, "id"), text(o, "died_at"), text(o, "queue"), text(o, "reason")];
    output::table(
        &["id", "died at", "queue", "reason"],
        objects.iter().map(row).collect(),
        "no dead letters",
    );
    Ok(())
}

async fn redrive(context: &Context, what: &Redrive) -> Result<(), Failure> {
    let link = context.link().await?;
    let channel = link.channel(false).await?;
    let publisher = Publisher::new(link);
    let (mut seen, mut moved) = (0_u64, 0_u64);
    // Those that are there now: one that comes back at once is not put back again.
    let passive = QueueDeclareOptions::durable().passive();
    let there =
        channel.queue_declare(topology::DEAD.into(), passive, FieldTable::default()).await?.message_count();
    for _ in 0..there {
        let Some(letter) = next(&channel).await? else { break };
        seen += 1;
        if what.all || what.id.iter().any(|wanted| wanted == id(&letter.delivery.properties)) {
            publisher.publish(&[original(&letter)?]).await?;
            letter.ack(BasicAckOptions::default()).await?;
            moved += 1;
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{seen} of {there} looked at, {moved} put back");
        }
    }
    if std::io::stderr().is_terminal() && seen > 0 {
        eprintln!();
    }
    channel.close(200, "done".into()).await?;
    if !what.all && moved == 0 {
        return Err(Failure::Refused(
            "there is no dead letter with that id: rollcall dead list shows them".to_owned(),
        ));
    }
    if context.json {
        output::json(&json!({ "redriven": moved }));
    } else {
        println!("{moved} put back");
    }
    Ok(())
}

async fn next(channel: &Channel) -> Result<Option<BasicGetMessage>, Failure> {
    Ok(channel.basic_get(topology::DEAD.into(), BasicGetOptions::default()).await?)
}

/// The message as it was before it died.
fn original(letter: &BasicGetMessage) -> Result<Message, Failure> {
    let properties = letter.delivery.properties.clone();
    let queue = origin(&properties).unwrap_or_default();
    if queue != topology::COMMANDS && queue != topology::NOTIFIER {
        return Err(Failure::Refused(format!(
            "the dead letter {} does not say which queue it came from",
            id(&properties)
        )));
    }
    let kept = properties.headers().iter().flat_map(FieldTable::inner);
    let mut headers = FieldTable::default();
    for (name, value) in kept.filter(|(name, _)| !name.as_str().starts_with("x-")) {
        headers.insert(name.clone(), value.clone());
    }
    let properties = properties.with_headers(headers);
    Ok(Message {
        exchange: String::new(),
        routing_key: queue,
        properties,
        body: letter.delivery.data.clone(),
        mandatory: true,
    })
}

fn describe(letter: &BasicGetMessage) -> Value {
    let properties = &letter.delivery.properties;
    json!({
        "id": id(properties),
        "queue": origin(properties),
        "reason": header(properties, dead::REASON).or_else(|| header(properties, "x-first-death-reason")),
        "died_at": header(properties, dead::DIED_AT),
        "bytes": letter.delivery.data.len(),
    })
}

fn id(properties: &BasicProperties) -> &str {
    properties.message_id().as_ref().map_or("", |id| id.as_str())
}

fn origin(properties: &BasicProperties) -> Option<String> {
    header(properties, dead::QUEUE).or_else(|| header(properties, "x-first-death-queue"))
}

fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    }
}

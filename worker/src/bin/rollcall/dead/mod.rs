//! `rollcall dead`: what could not be dealt with, putting it back where it came from, and removing it.

mod letter;

use std::io::IsTerminal;

use clap::{Args, Subcommand};
use lapin::Channel;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::{Value, json};
use shared::amqp::{Publisher, topology};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::context::{Context, Failure};
use crate::output;

/// So many letters are looked at for the oldest of them.
const LOOKED_AT: usize = 10_000;

/// The commands of `rollcall dead`.
#[derive(Subcommand)]
pub enum Command {
    /// Lists dead letters, oldest first, with their reasons.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Shows all of one dead letter: why it died, what was tried, its properties and headers.
    Show {
        /// Its id, as `rollcall dead list` shows it.
        id: String,
        /// Its body too, which may hold personal data.
        #[arg(long)]
        body: bool,
    },
    /// Puts dead letters back into the queue that they came from.
    Redrive(Which),
    /// Removes dead letters for good.
    Drop {
        #[command(flatten)]
        which: Which,
        /// Confirms that all are meant.
        #[arg(long)]
        yes: bool,
    },
}

/// Which letters are meant.
#[derive(Args)]
#[group(required = true)]
pub struct Which {
    /// All of them.
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// Those with these ids, as `rollcall dead list` shows them.
    #[arg(long)]
    id: Vec<String>,
}

impl Which {
    fn means(&self, letter: &BasicGetMessage) -> bool {
        let id = letter::id(&letter.delivery);
        self.all || self.id.contains(&id)
    }
}

/// Runs it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { limit } => list(context, limit).await,
        Command::Show { id, body } => show(context, &id, body).await,
        Command::Redrive(which) => redrive(context, &which).await,
        Command::Drop { which, yes } => drop_letters(context, &which, yes).await,
    }
}

async fn list(context: &Context, limit: usize) -> Result<(), Failure> {
    let channel = context.link().await?.channel(false).await?;
    let mut objects = Vec::new();
    while objects.len() < LOOKED_AT.max(limit) {
        let Some(letter) = next(&channel).await? else { break };
        objects.push(letter::summary(&letter.delivery));
    }
    // What was looked at goes back, in whatever order.
    channel.close(200, "looked".into()).await?;
    objects.sort_by_cached_key(|object| {
        let died_at = object["died_at"].as_str().and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
        (died_at.is_none(), died_at)
    });
    objects.truncate(limit);
    if context.json {
        output::json(&Value::Array(objects));
        return Ok(());
    }
    let text = |object: &Value, field: &str| object[field].as_str().unwrap_or("-").to_owned();
    let row = |o: &Value| {
        vec![
            text(o, "id"),
            text(o, "died_at"),
            text(o, "queue"),
            o["attempts"].to_string(),
            text(o, "reason"),
        ]
    };
    output::table(
        &["id", "died at", "queue", "attempts", "reason"],
        objects.iter().map(row).collect(),
        "no dead letters",
    );
    Ok(())
}

async fn show(context: &Context, id: &str, body: bool) -> Result<(), Failure> {
    let channel = context.link().await?.channel(false).await?;
    let mut found = None;
    while let Some(letter) = next(&channel).await? {
        if letter::id(&letter.delivery) == id {
            found = Some(letter);
            break;
        }
    }
    channel.close(200, "looked".into()).await?;
    let letter = found.ok_or_else(unknown)?;
    let object = letter::whole(&letter.delivery, body);
    if context.json {
        output::json(&object);
        return Ok(());
    }
    for (name, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => println!("{name}: {text}"),
            value => println!("{name}: {value:#}"),
        }
    }
    Ok(())
}

async fn redrive(context: &Context, which: &Which) -> Result<(), Failure> {
    let link = context.link().await?;
    let publisher = Publisher::new(link.clone());
    let mut lost = 0_u64;
    let moved = each(&link.channel(false).await?, which, "put back", async |letter| {
        let Some(original) = letter::original(&letter.delivery) else {
            lost += 1;
            return Ok(false);
        };
        publisher.publish(&[original]).await?;
        Ok(true)
    })
    .await?;
    if lost > 0 {
        return Err(Failure::Refused(format!(
            "{moved} put back; {lost} do not say which of our queues they came from, and stay: `rollcall dead show` shows them"
        )));
    }
    if !which.all && moved == 0 {
        return Err(unknown());
    }
    done(context, "redriven", "put back", moved);
    Ok(())
}

async fn drop_letters(context: &Context, which: &Which, yes: bool) -> Result<(), Failure> {
    if which.all && !yes {
        return Err(Failure::Usage(
            "this removes all dead letters for good: say so with --yes, or name some with --id".to_owned(),
        ));
    }
    let channel = context.link().await?.channel(false).await?;
    let removed = each(&channel, which, "removed", async |_| Ok(true)).await?;
    if !which.all && removed == 0 {
        return Err(unknown());
    }
    done(context, "dropped", "removed", removed);
    Ok(())
}

/// Takes those that are meant out of the queue when `take` has said that they may go; returns how many. Those that are there
/// now: one that comes back at once is not met again.
async fn each(
    channel: &Channel,
    which: &Which,
    word: &str,
    mut take: impl AsyncFnMut(&BasicGetMessage) -> Result<bool, Failure>,
) -> Result<u64, Failure> {
    let (mut seen, mut taken) = (0_u64, 0_u64);
    let passive = QueueDeclareOptions::durable().passive();
    let there =
        channel.queue_declare(topology::DEAD.into(), passive, FieldTable::default()).await?.message_count();
    let terminal = std::io::stderr().is_terminal();
    for _ in 0..there {
        let Some(letter) = next(channel).await? else { break };
        seen += 1;
        if which.means(&letter) && take(&letter).await? {
            // On a dead channel the answer is `false`, not an error.
            if !letter.ack(BasicAckOptions::default()).await? {
                return Err(shared::amqp::Error::Unavailable("the channel broke".to_owned()).into());
            }
            taken += 1;
        }
        if terminal {
            eprint!("\r{seen} of {there} looked at, {taken} {word}");
        }
    }
    if terminal && seen > 0 {
        eprintln!();
    }
    channel.close(200, "done".into()).await?;
    Ok(taken)
}

fn done(context: &Context, field: &str, word: &str, count: u64) {
    if context.json {
        output::json(&json!({ field: count }));
    } else {
        println!("{count} {word}");
    }
}

fn unknown() -> Failure {
    Failure::Refused("there is no dead letter with that id: rollcall dead list shows them".to_owned())
}

async fn next(channel: &Channel) -> Result<Option<BasicGetMessage>, Failure> {
    Ok(channel.basic_get(topology::DEAD.into(), BasicGetOptions::default()).await?)
}

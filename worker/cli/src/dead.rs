//! `rollcall dead`: lists, shows, redrives and drops dead letters.

use std::io::IsTerminal;

use clap::{Args, Subcommand};
use operations::dead_letters::{self, Listed, Progress, Redriven, Selection};
use serde_json::json;

use crate::context::{CliContext, Failure};
use crate::output;

/// The commands of `rollcall dead`.
#[derive(Subcommand)]
pub enum Command {
    /// List dead letters with their reasons, oldest first.
    List {
        /// The maximum number of dead letters to list.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show a dead letter: reason, attempts, properties and headers.
    Show {
        /// The id (see `rollcall dead list`).
        id: String,
        /// Also show the body, which may contain personal data.
        #[arg(long)]
        body: bool,
    },
    /// Return dead letters to the queues they came from.
    Redrive(Which),
    /// Delete dead letters permanently.
    Drop {
        #[command(flatten)]
        which: Which,
        /// Confirm that all are to be deleted.
        #[arg(long)]
        yes: bool,
    },
}

/// Selects dead letters.
#[derive(Args)]
#[group(required = true)]
pub struct Which {
    /// All dead letters.
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// Dead letters with these ids (see `rollcall dead list`).
    #[arg(long)]
    id: Vec<String>,
}

impl From<Which> for Selection {
    fn from(which: Which) -> Self {
        if which.all { Self::All } else { Self::Ids(which.id) }
    }
}

/// Runs the command.
pub async fn run(context: &CliContext, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { limit } => list(context, limit).await,
        Command::Show { id, body } => show(context, &id, body).await,
        Command::Redrive(which) => redrive(context, &which.into()).await,
        Command::Drop { which, yes } => drop_letters(context, &which.into(), yes).await,
    }
}

async fn list(context: &CliContext, limit: usize) -> Result<(), Failure> {
    let letters = dead_letters::list(&context.operator, limit).await?;
    if context.json {
        output::json(&letters);
        return Ok(());
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let row = |letter: &Listed| {
        vec![
            letter.id.clone(),
            text(&letter.died_at),
            text(&letter.queue),
            letter.attempts.to_string(),
            text(&letter.reason),
        ]
    };
    let headings = ["id", "died at", "queue", "attempts", "reason"];
    output::table(&headings, letters.iter().map(row).collect(), "no dead letters");
    Ok(())
}

async fn show(context: &CliContext, id: &str, body: bool) -> Result<(), Failure> {
    let letter = dead_letters::show(&context.operator, id, body).await?;
    if context.json {
        output::json(&letter);
        return Ok(());
    }
    for (name, value) in output::object(&letter).as_object().into_iter().flatten() {
        output::field(name, value);
    }
    Ok(())
}

async fn redrive(context: &CliContext, which: &Selection) -> Result<(), Failure> {
    let mut bar = Bar::new("redriven");
    let result = dead_letters::redrive(&context.operator, which, |progress| bar.show(progress)).await;
    bar.end();
    let Redriven { moved, left } = result?;
    if left > 0 {
        return Err(Failure::refused(format!(
            "{moved} dead letters redriven; {left} left because their original queue is unknown (see `rollcall dead show`)"
        )));
    }
    done(context, "redriven", "dead letters redriven", moved);
    Ok(())
}

async fn drop_letters(context: &CliContext, which: &Selection, yes: bool) -> Result<(), Failure> {
    if *which == Selection::All && !yes {
        return Err(Failure::usage(
            "this deletes all dead letters permanently; confirm with --yes, or select some with --id",
        ));
    }
    let mut bar = Bar::new("dropped");
    let removed = dead_letters::remove(&context.operator, which, |progress| bar.show(progress)).await;
    bar.end();
    done(context, "dropped", "dead letters dropped", removed?);
    Ok(())
}

/// Shows the progress if the standard error is a terminal.
struct Bar {
    word: &'static str,
    is_shown: bool,
    has_begun: bool,
}

impl Bar {
    fn new(word: &'static str) -> Self {
        Self { word, is_shown: std::io::stderr().is_terminal(), has_begun: false }
    }

    fn show(&mut self, progress: Progress) {
        if self.is_shown {
            eprint!("\r{} of {} read, {} {}", progress.read, progress.all, progress.taken, self.word);
            self.has_begun = true;
        }
    }

    fn end(&self) {
        if self.has_begun {
            eprintln!();
        }
    }
}

fn done(context: &CliContext, field: &str, word: &str, count: u64) {
    if context.json {
        output::json(&json!({ field: count }));
    } else {
        say!("{count} {word}");
    }
}

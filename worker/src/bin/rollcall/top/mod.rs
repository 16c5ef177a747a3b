//! `rollcall top`: the queues and the workers as they are, on a screen that is drawn anew, or once.

mod look;
mod screen;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use look::{Eyes, Look};

use crate::context::{Context, Failure};
use crate::output;

/// Between the two looks that rates are made of.
const APART: Duration = Duration::from_secs(1);
/// Clears the screen and goes to its corner.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The arguments of `rollcall top`.
#[derive(Args)]
pub struct Arguments {
    /// Shows it once, as where the output is no terminal.
    #[arg(long)]
    once: bool,
    /// Seconds between two looks.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// Runs it.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), Failure> {
    let mut eyes = Eyes::default();
    let mut before = eyes.look(context).await;
    let once = arguments.once || context.json || !std::io::stdout().is_terminal();
    if once {
        tokio::time::sleep(APART).await;
        let now = eyes.look(context).await;
        return show_once(context, &before, &now);
    }
    loop {
        tokio::time::sleep(Duration::from_secs(arguments.interval)).await;
        let now = eyes.look(context).await;
        let drawn = format!("{CLEAR}{}", screen::text(&screen::object(&before, &now)));
        // Whoever looked has gone.
        if std::io::stdout().write_all(drawn.as_bytes()).is_err() {
            return Ok(());
        }
        before = now;
    }
}

fn show_once(context: &Context, before: &Look, now: &Look) -> Result<(), Failure> {
    let object = screen::object(before, now);
    if context.json {
        output::json(&object);
    } else {
        print!("{}", screen::text(&object));
    }
    match (&now.broker, &now.database) {
        (Err(rabbitmq), Err(postgres)) => Err(Failure::Late(format!("{rabbitmq}; {postgres}"))),
        (Err(away), Ok(_)) | (Ok(_), Err(away)) => Err(Failure::Late(away.clone())),
        (Ok(_), Ok(_)) => Ok(()),
    }
}

//! `rollcall top`: queues and workers, refreshed continuously or shown once.

mod screen;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use operations::overview::{Observer, Overview};
use platform::visible;

use crate::context::{CliContext, Failure};
use crate::output;

/// The time between the two snapshots from which rates are computed.
const APART: Duration = Duration::from_secs(1);
/// Clears the screen and moves the cursor to its top left corner.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The arguments of `rollcall top`.
#[derive(Args)]
pub struct Arguments {
    /// Show one snapshot and exit. Implied if the output is not a terminal.
    #[arg(long)]
    once: bool,
    /// Seconds between refreshes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// Runs the command.
pub async fn run(context: &CliContext, arguments: &Arguments) -> Result<(), Failure> {
    let operator = &context.operator;
    let mut observer = Observer::default();
    let mut before = observer.look(operator).await;
    let once = arguments.once || context.json || !std::io::stdout().is_terminal();
    if once {
        tokio::time::sleep(APART).await;
        let now = observer.look(operator).await;
        return show_once(context, &Overview::of(&before, &now));
    }
    loop {
        tokio::time::sleep(Duration::from_secs(arguments.interval)).await;
        let now = observer.look(operator).await;
        let text = screen::text(&output::object(&Overview::of(&before, &now)));
        let drawn = format!("{CLEAR}{}", visible::lines(&text));
        // The output was closed.
        if std::io::stdout().write_all(drawn.as_bytes()).is_err() {
            return Ok(());
        }
        before = now;
    }
}

fn show_once(context: &CliContext, overview: &Overview) -> Result<(), Failure> {
    if context.json {
        output::json(overview);
    } else {
        let text = screen::text(&output::object(overview));
        output::lines(text.trim_end(), text.trim_end().matches('\n').count());
    }
    overview.unavailable().map_or(Ok(()), |away| Err(Failure::late(away)))
}

//! Reads the API token from a file, the standard input or the terminal. Error messages do not contain it.

use std::io::{IsTerminal as _, Read as _, stdin};
use std::path::Path;
use std::process::{Command, Stdio};

use operations::pulls::{self, MAX_TOKEN};

use crate::context::Failure;

/// Reads the token: one line of a file or of the standard input.
pub fn read(file: Option<&Path>) -> Result<String, Failure> {
    let text = match file.filter(|file| file.as_os_str() != "-") {
        Some(file) => std::fs::read_to_string(file).map_err(|e| unread(&file.display().to_string(), &e))?,
        None if stdin().is_terminal() => prompt().map_err(|e| unread("the terminal", &e))?,
        None => {
            let mut text = String::new();
            let read = stdin().lock().take(MAX_TOKEN + 1).read_to_string(&mut text);
            read.map_err(|e| unread("the standard input", &e))?;
            text
        }
    };
    Ok(pulls::token(&text)?)
}

fn unread(place: &str, error: &std::io::Error) -> Failure {
    Failure::usage(format!("the token cannot be read from {place}: {error}"))
}

/// Reads a line from the terminal, without echo if possible.
fn prompt() -> std::io::Result<String> {
    let echo = |how: &str| Command::new("stty").arg(how).stdin(Stdio::inherit()).status();
    eprint!("Okta's API token: ");
    // Without `stty` the input is echoed.
    let hidden = echo("-echo").is_ok_and(|status| status.success());
    let mut text = String::new();
    let read = stdin().read_line(&mut text);
    if hidden {
        echo("echo")?;
        eprintln!();
    }
    read.map(|_| text)
}

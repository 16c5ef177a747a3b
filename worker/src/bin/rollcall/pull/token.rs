//! Where the token comes from: a file, the standard input, or the keyboard. Complaints do not repeat it.

use std::io::{IsTerminal as _, Read as _, stdin};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::context::Failure;

/// The longest token, in bytes.
const MAX_TOKEN: u64 = 1_024;

/// The token: one line of a file, or of the standard input.
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
    let token = text.trim();
    let fits = !token.is_empty() && token.len() as u64 <= MAX_TOKEN;
    if fits && token.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(token.to_owned());
    }
    Err(Failure::Usage("the token must be one line of printable characters without spaces".to_owned()))
}

fn unread(place: &str, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("the token cannot be read from {place}: {error}"))
}

/// A line from the keyboard, which the terminal does not show where it can help it.
fn prompt() -> std::io::Result<String> {
    let echo = |how: &str| Command::new("stty").arg(how).stdin(Stdio::inherit()).status();
    eprint!("Okta's API token: ");
    // Without `stty` it is shown: better than no token.
    let hidden = echo("-echo").is_ok_and(|status| status.success());
    let mut text = String::new();
    let read = stdin().read_line(&mut text);
    if hidden {
        echo("echo")?;
        eprintln!();
    }
    read.map(|_| text)
}

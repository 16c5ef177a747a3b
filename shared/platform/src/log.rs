//! Logging: a message and fields, as text on a terminal and as JSON elsewhere. No line is longer than `LONGEST`,
//! whatever its values are.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// The maximum length of a line, in bytes.
const LONGEST: usize = 2_048;
/// The length to which the values of a longer line are cut, in bytes, longest first.
const CUTS: [usize; 3] = [256, 64, 16];

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Human-readable text.
    Text,
    /// One JSON object per line.
    Json,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be auto, text or json".to_owned()),
        }
    }
}

/// Checks that a string is a filter that [`init`] accepts.
///
/// # Errors
/// What is wrong with it.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|e| format!("is not a log filter: {e}"))
}

/// Starts logging to standard error. Call once; a second call has no effect.
///
/// `lapin` is silenced regardless of the filter: it logs returned messages in full, with their personal data. A panic
/// is logged with its location only: its message may quote a value.
pub fn init(filter: &str, format: Format) {
    let filter = EnvFilter::try_new(filter)
        .unwrap_or_else(|_| EnvFilter::new("info"))
        .add_directive("lapin=off".parse().expect("a constant directive"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Bounded(io::stderr()))
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    let json = format == Format::Json || (format == Format::Auto && !std::io::stderr().is_terminal());
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    // A second initialization fails, and the first one stays in effect.
    let _ = if json {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        builder.compact().try_init()
    };
}

/// Writes lines, each of which is handed over in one piece, and shortens those that are too long.
struct Bounded<W>(W);

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.len() > LONGEST {
            self.0.write_all(&shortened(line))?;
        } else {
            self.0.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The line with its long values cut, if it is JSON; else its beginning.
fn shortened(line: &[u8]) -> Vec<u8> {
    if let Ok(mut whole) = serde_json::from_slice::<Value>(line) {
        for longest in CUTS {
            cut(&mut whole, longest);
            let text = format!("{whole}\n");
            if text.len() <= LONGEST {
                return text.into_bytes();
            }
        }
    }
    let text = String::from_utf8_lossy(line);
    format!("{}…\n", &text[..boundary(&text, LONGEST - "…\n".len())]).into_bytes()
}

/// The last boundary of a character at or before this position.
fn boundary(text: &str, position: usize) -> usize {
    (0..=position).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// Cuts all texts to this many bytes.
fn cut(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) if text.len() > longest => {
            text.truncate(boundary(text, longest));
            text.push('…');
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| cut(element, longest)),
        Value::Object(members) => members.values_mut().for_each(|member| cut(member, longest)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str) -> String {
        let mut bounded = Bounded(Vec::new());
        bounded.write_all(line.as_bytes()).unwrap();
        String::from_utf8(bounded.0).unwrap()
    }

    #[test]
    fn ordinary_lines_are_written_as_they_are() {
        for line in ["{\"message\":\"x\"}\n", "INFO x\n", ""] {
            assert_eq!(written(line), line);
        }
    }

    #[test]
    fn no_line_is_too_long_and_json_stays_json() {
        let many: Vec<String> = (0..1_000).map(|n| format!("value {n} é")).collect();
        for (line, is_json) in [
            (serde_json::json!({ "level": "INFO", "message": "é".repeat(5_000) }), true),
            (
                serde_json::json!({ "level": "INFO", "span": { "a": "x".repeat(3_000), "b": "y".repeat(300) } }),
                true,
            ),
            (serde_json::json!({ "level": "INFO", "many": many }), false),
        ] {
            let shown = written(&format!("{line}\n"));
            assert!(shown.len() <= LONGEST && shown.ends_with('\n'), "{shown}");
            let parsed = serde_json::from_str::<Value>(&shown);
            assert_eq!(parsed.is_ok_and(|parsed| parsed["level"] == "INFO"), is_json, "{shown}");
            assert_eq!(shown.lines().count(), 1);
        }
        let text = written(&format!("INFO {}\n", "é".repeat(5_000)));
        assert!(text.len() <= LONGEST && text.starts_with("INFO é") && text.ends_with("…\n"), "{text}");
    }
}

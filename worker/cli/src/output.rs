//! Output: tables for people, JSON for scripts. Everything that is printed passes here, so that nothing from a tenant
//! reaches a terminal with control characters.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, TableStyle};
use platform::visible;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

/// Prints text in the format of `format!`, and ends the line. On a terminal hidden characters are shown as escapes. Only
/// the ends of lines in the format itself end a line there: those in the arguments may come from a tenant.
macro_rules! say {
    ($format:literal $($arguments:tt)*) => {
        $crate::output::lines(&format!($format $($arguments)*), $format.matches('\n').count())
    };
}

/// Prints a line. On a terminal hidden characters are shown as escapes.
pub fn line(text: &str) {
    lines(text, 0);
}

/// Prints text that should contain this number of ends of lines. If it contains more, then an argument contains some,
/// and on a terminal all of them are shown as escapes.
pub fn lines(text: &str, expected: usize) {
    if !std::io::stdout().is_terminal() {
        write(text);
    } else if text.matches('\n').count() == expected {
        write(&visible::lines(text));
    } else {
        write(&visible::line(text));
    }
}

/// Prints text as it is. A closed pipe (`head`) is not an error.
fn write(text: &str) {
    // The reader may have closed the pipe.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a message on the standard error, with hidden characters as escapes if that is a terminal.
pub fn complain(text: &str) {
    let shown = if std::io::stderr().is_terminal() { visible::lines(text) } else { text.into() };
    let _ = writeln!(std::io::stderr(), "{shown}");
}

/// Prints JSON.
pub fn json(value: &impl Serialize) {
    let text = format!("{:#}", object(value));
    write(&if std::io::stdout().is_terminal() { visible::json(&text) } else { text.as_str().into() });
}

/// Prints a named value: text in one line, other values as JSON.
pub fn field(name: &str, value: &Value) {
    match value {
        Value::String(text) => line(&format!("{name}: {text}")),
        value => {
            let text = format!("{name}: {value:#}");
            write(&if std::io::stdout().is_terminal() { visible::json(&text) } else { text.as_str().into() });
        }
    }
}

/// What [`json`] prints, as a value.
pub fn object(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("what is printed has text as keys")
}

/// Prints a list as a table with these headings, or a message if it is empty.
pub fn table(headings: &[&str], mut rows: Vec<Vec<String>>, empty: &str) {
    if rows.is_empty() {
        line(empty);
        return;
    }
    if std::io::stdout().is_terminal() {
        for cell in rows.iter_mut().flatten() {
            *cell = visible::line(cell).into_owned();
        }
    }
    let mut table = Table::new();
    table
        .load_style(TableStyle::new())
        .set_header(headings.iter().map(|heading| heading.to_uppercase()))
        .add_rows(rows);
    write(&table.trim_fmt());
}

/// A time in UTC for people; `-` if it is absent.
pub fn moment(at: Option<OffsetDateTime>) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    at.and_then(|at| at.format(format).ok()).unwrap_or_else(|| "-".to_owned())
}

/// A time in RFC 3339 for scripts; null if it is absent.
pub fn rfc3339(at: Option<OffsetDateTime>) -> Value {
    at.map_or(Value::Null, |at| Value::String(scim::timestamp(at)))
}

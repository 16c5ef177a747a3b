//! Output: tables for people, JSON for scripts.

use std::io::Write;

use comfy_table::{Table, TableStyle};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

/// Prints a line in the format of `format!`, as `line` does.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::line(&format!($($argument)*))
    };
}

/// Prints a line. A closed pipe (`head`) is not an error.
pub fn line(text: &str) {
    // The reader may have closed the pipe.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints JSON.
pub fn json(value: &impl Serialize) {
    line(&format!("{:#}", object(value)));
}

/// What [`json`] prints, as a value.
pub fn object(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("what is printed has text as keys")
}

/// Prints a list as a table with these headings, or a message if it is empty.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>, empty: &str) {
    if rows.is_empty() {
        line(empty);
        return;
    }
    let mut table = Table::new();
    table
        .load_style(TableStyle::new())
        .set_header(headings.iter().map(|heading| heading.to_uppercase()))
        .add_rows(rows);
    line(&table.trim_fmt());
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

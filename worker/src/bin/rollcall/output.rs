//! How results are shown: a table for people, JSON for scripts.

use std::io::Write;

use comfy_table::{Table, TableStyle};
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

/// Prints a line. Whoever reads them may stop, as `head` does.
pub fn line(text: &str) {
    // That nobody reads it is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a JSON value.
pub fn json(value: &Value) {
    line(&format!("{value:#}"));
}

/// Prints a list: a table with these headings, or a word when it is empty.
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

/// A time as people read it, in UTC; `-` for none.
pub fn moment(at: Option<OffsetDateTime>) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    at.and_then(|at| at.format(format).ok()).unwrap_or_else(|| "-".to_owned())
}

/// A time as scripts read it (RFC 3339); null for none.
pub fn rfc3339(at: Option<OffsetDateTime>) -> Value {
    at.map_or(Value::Null, |at| Value::String(shared::scim::timestamp(at)))
}

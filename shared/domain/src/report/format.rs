//! The formats in which the rows of a report and of the activity log are written: JSON, JSON lines and CSV.

use platform::visible::is_hidden;
use serde_json::{Map, Value};

use super::Column;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One array of objects.
    Json,
    /// One object a line, as log collectors (SIEM) read it.
    JsonLines,
    /// RFC 4180, with the names of the columns in the first line.
    Csv,
}

impl Format {
    /// The text before the rows.
    #[must_use]
    pub fn begin(self, columns: &[Column]) -> String {
        match self {
            Self::Json => "[".to_owned(),
            Self::JsonLines => String::new(),
            Self::Csv => line(columns.iter().map(|(name, _)| (*name).to_owned())),
        }
    }

    /// A row, which is a JSON object with these columns. `nth` counts from 0.
    #[must_use]
    pub fn row(self, columns: &[Column], nth: usize, row: &str) -> String {
        match self {
            Self::Json if nth == 0 => format!("\n{row}"),
            Self::Json => format!(",\n{row}"),
            Self::JsonLines => format!("{row}\n"),
            Self::Csv => {
                let row: Map<String, Value> = serde_json::from_str(row).unwrap_or_default();
                line(columns.iter().map(|(name, _)| cell(row.get(*name))))
            }
        }
    }

    /// The text after the rows.
    #[must_use]
    pub fn end(self) -> &'static str {
        match self {
            Self::Json => "\n]\n",
            Self::JsonLines | Self::Csv => "",
        }
    }
}

/// The signs with which a formula begins. Spreadsheets of East Asian locales accept full-width ones.
const SIGNS: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// Whether a spreadsheet may evaluate a text as a formula. Some drop white space and ends of lines at the start.
fn is_formula(text: &str) -> bool {
    text.starts_with(['\t', '\r', '\n'])
        || text.trim_start_matches(|c: char| c.is_whitespace() || is_hidden(c)).starts_with(SIGNS)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) if is_formula(text) => format!("'{text}"),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

/// Semicolons and tabs are quoted too: where the comma is the decimal separator, spreadsheets split cells at them.
fn quoted(cell: String) -> String {
    if cell.contains([',', ';', '\t', '"', '\r', '\n']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;

    #[test]
    fn rows_follow_the_order_of_the_columns_and_are_safe_in_spreadsheets() {
        let row =
            r#"{"location": "=1+1, \"x\"", "learners": 2, "assigned": 0, "completed": null, "overdue": 0}"#;
        let (csv, columns) = (Format::Csv, Report::Locations.columns());
        assert_eq!(csv.begin(columns), "location,learners,assigned,completed,overdue\r\n");
        assert_eq!(csv.row(columns, 0, row), "\"'=1+1, \"\"x\"\"\",2,0,,0\r\n");
        assert_eq!(csv.row(columns, 0, r#"{"location": "a;=1"}"#), "\"a;=1\",,,,\r\n");
        assert_eq!(csv.row(columns, 0, r#"{"location": "a\nb"}"#), "\"a\nb\",,,,\r\n");
        for sign in SIGNS {
            for before in ["", " ", "\n", "\u{200b}", "\u{3000}"] {
                let row = serde_json::json!({ "location": format!("{before}{sign}1+1") }).to_string();
                let written = csv.row(columns, 0, &row);
                assert!(written.trim_start_matches('"').starts_with('\''), "{written:?}");
            }
        }
        let json = Format::Json;
        let all = [json.begin(columns), json.row(columns, 0, row), json.row(columns, 1, row)];
        let all: Value = serde_json::from_str(&(all.concat() + json.end())).unwrap();
        assert_eq!(all.as_array().map(Vec::len), Some(2));
        let lines = Format::JsonLines;
        let all = [lines.begin(columns), lines.row(columns, 0, row), lines.row(columns, 1, row)];
        assert_eq!(all.concat() + lines.end(), format!("{row}\n{row}\n"));
    }
}

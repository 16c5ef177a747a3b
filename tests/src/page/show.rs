//! Formats answers, rows, events and mails as a page shows them.

use reqwest::StatusCode;
use serde_json::Value;

use super::names::Names;
use crate::Answer;
use crate::mailbox::Mail;

/// The headers shown in answers.
pub const HEADERS: [&str; 10] = [
    "Content-Type",
    "Location",
    "ETag",
    "Retry-After",
    "WWW-Authenticate",
    "Allow",
    "Set-Txn",
    "Preference-Applied",
    "Rollcall-Skipped-Members",
    "Accept-Patch",
];

/// The maximum line width of JSON.
const WIDTH: usize = 110;

/// An answer: status, headers, body.
pub fn answer(names: &mut Names, answer: &Answer, said: &str) -> String {
    let (said_head, said_body) = said.split_once("\n\n").unwrap_or((said, ""));
    let reason = StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    let mut shown = format!("HTTP/1.1 {} {}", answer.status, reason.unwrap_or(""));
    for name in HEADERS {
        let value = answer.header(name);
        if !value.is_empty() {
            let said = said_head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            shown.push_str(&format!("\n{name}: {}", names.tell(value, said, "id")));
        }
    }
    if !answer.text.is_empty() {
        let body = match serde_json::from_str(&answer.text) {
            Ok(body) => {
                let said = serde_json::from_str::<Value>(said_body).ok();
                json(&names.tell_json(&body, said.as_ref(), "id"))
            }
            Err(_) => answer.text.clone(),
        };
        shown.push_str(&format!("\n\n{body}"));
    }
    shown
}

/// Events, one after another.
pub fn events(names: &mut Names, events: &[Value], said: &str) -> String {
    let said: Vec<Value> =
        serde_json::Deserializer::from_str(said).into_iter().map_while(Result::ok).collect();
    let one = |(n, event)| json(&names.tell_json(event, said.get(n), "id"));
    let shown: Vec<_> = events.iter().enumerate().map(one).collect();
    if shown.is_empty() { "no event".to_owned() } else { shown.join("\n") }
}

/// A mail: the visible headers, the Message-ID without brackets, and the text part.
pub fn mail(names: &mut Names, mail: Option<&Mail>, said: &str) -> String {
    let Some(mail) = mail else { return "no mail".to_owned() };
    let text = format!(
        "From: {}\nTo: {}\nSubject: {}\nMessage-ID: {}\n\n{}",
        mail.from,
        mail.to,
        mail.subject,
        mail.message_id,
        mail.text.replace("\r\n", "\n").trim_end()
    );
    let said: Vec<_> = said.lines().collect();
    let one = |(n, line): (usize, &str)| names.tell(line, said.get(n).copied(), "mail");
    text.lines().enumerate().map(one).collect::<Vec<_>>().join("\n")
}

/// Rows as a table, with the page's columns first.
pub fn table(names: &mut Names, rows: &[Value], said: &str) -> String {
    let Some(first) = rows.first().and_then(Value::as_object) else { return "no row".to_owned() };
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let said: Vec<Vec<String>> = said.lines().filter(|line| !line.starts_with("--")).map(cells).collect();
    let mut columns = said.first().cloned().unwrap_or_default();
    columns.retain(|column| first.contains_key(column));
    columns.extend(first.keys().filter(|key| !columns.contains(key)).cloned().collect::<Vec<_>>());
    let mut table = vec![columns.clone()];
    for (n, row) in rows.iter().enumerate() {
        let cell = |(m, column): (usize, &String)| {
            let said = said.get(n + 1).and_then(|row| row.get(m)).map(String::as_str);
            let text = row[column].as_str().map_or_else(|| row[column].to_string(), str::to_owned);
            names.tell(&text, said, "id")
        };
        table.push(columns.iter().enumerate().map(cell).collect());
    }
    let width = |m: usize| table.iter().map(|row| row[m].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join(" | ").trim_end().to_owned()
    };
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("-+-");
    let mut lines: Vec<_> = table.iter().map(line).collect();
    lines.insert(1, rule);
    lines.join("\n")
}

/// JSON in as few lines as is readable.
pub fn json(value: &Value) -> String {
    broken(value, 0, 0)
}

/// On one line if it fits after `used` characters, otherwise one member per line.
fn broken(value: &Value, depth: usize, used: usize) -> String {
    let line = on_one_line(value);
    if used + line.chars().count() <= WIDTH {
        return line;
    }
    let indent = "  ".repeat(depth + 1);
    let (open, close, parts): (_, _, Vec<String>) = match value {
        Value::Array(elements) => {
            let part = |element| format!("{indent}{}", broken(element, depth + 1, indent.len() + 1));
            ('[', ']', elements.iter().map(part).collect())
        }
        Value::Object(members) => {
            let part = |(name, member): (&String, &Value)| {
                let name = format!("{indent}{}: ", Value::from(name.as_str()));
                format!("{name}{}", broken(member, depth + 1, name.chars().count() + 1))
            };
            ('{', '}', members.iter().map(part).collect())
        }
        _ => return line,
    };
    format!("{open}\n{}\n{}{close}", parts.join(",\n"), "  ".repeat(depth))
}

fn on_one_line(value: &Value) -> String {
    match value {
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(on_one_line).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) if members.is_empty() => "{}".to_owned(),
        Value::Object(members) => {
            let part = |(name, member): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), on_one_line(member))
            };
            format!("{{ {} }}", members.iter().map(part).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_wrapped_only_where_it_is_long() {
        let long = "x".repeat(100);
        assert_eq!(super::json(&json!({ "a": [1, {}], "b": null })), r#"{ "a": [1, {}], "b": null }"#);
        assert_eq!(
            super::json(&json!({ "a": [1, 2], "b": long })),
            format!("{{\n  \"a\": [1, 2],\n  \"b\": \"{long}\"\n}}")
        );
    }

    #[test]
    fn a_table_keeps_the_columns_of_the_page() {
        let mut names = Names::of("");
        let rows = [json!({ "version": 1, "name": "a long name" }), json!({ "version": 2, "name": null })];
        let table = table(&mut names, &rows, "version | name");
        assert_eq!(table, "version | name\n--------+------------\n1       | a long name\n2       | null");
    }
}

//! Placeholders for values that differ between runs: `<ada>` is an id, `<time of birth>` (any name that begins with
//! `time`) an instant. The first use binds the name, later uses must be equal.

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The length of a UUID's text form.
const ID: usize = 36;

/// The placeholders of a page and their values.
#[derive(Clone)]
pub struct Names {
    /// Names with brackets, and their values.
    bound: Vec<(String, String)>,
    /// All names in the page, bound or not.
    used: Vec<String>,
}

impl Names {
    /// The names of a page, none of them bound.
    pub fn of(page: &str) -> Self {
        Self { bound: Vec::new(), used: placeholders(page).map(|(_, name)| name.to_owned()).collect() }
    }

    /// Binds a name.
    pub fn bind(&mut self, name: &str, value: &str) {
        self.bound.push((name.to_owned(), value.to_owned()));
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.bound.iter().find(|(bound, _)| bound == name).map(|(_, value)| value.as_str())
    }

    /// Replaces bound names in a text by their values.
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = 0;
        for (at, name) in placeholders(text) {
            if let Some(value) = self.value(name) {
                filled.push_str(&text[rest..at]);
                filled.push_str(value);
                rest = at + name.len();
            }
        }
        filled + &text[rest..]
    }

    /// Replaces values by names: returns the page's text if it fits (binding new names), otherwise the text with known
    /// names, and with new ones, derived from `stem`, for unknown ids and instants.
    pub fn tell(&mut self, happened: &str, said: Option<&str>, stem: &str) -> String {
        if let Some(said) = said
            && self.fits(said, happened)
        {
            return said.to_owned();
        }
        let mut text = happened.to_owned();
        for (name, value) in &self.bound {
            text = text.replace(value, name);
        }
        while let Some((at, value)) = unknown(&text) {
            let value = value.to_owned();
            let same = self.bound.iter().find(|(_, known)| is_same_instant(known, &value));
            let name = match same.map(|(name, _)| name.clone()) {
                Some(name) => name,
                None => self.fresh(if value.len() == ID { stem } else { "time" }),
            };
            text.replace_range(at..at + value.len(), &name);
            self.bind(&name, &value);
        }
        text
    }

    /// The same for all strings of a JSON value.
    pub fn tell_json(&mut self, happened: &Value, said: Option<&Value>, stem: &str) -> Value {
        match happened {
            Value::String(text) => self.tell(text, said.and_then(Value::as_str), stem).into(),
            Value::Array(elements) => {
                let one = |(n, element)| self.tell_json(element, said.and_then(|said| said.get(n)), stem);
                elements.iter().enumerate().map(one).collect()
            }
            Value::Object(members) => {
                let one = |(name, member): (&String, &Value)| {
                    let stem = name.strip_suffix("id").filter(|stem| !stem.is_empty()).unwrap_or("id");
                    (name.clone(), self.tell_json(member, said.and_then(|said| said.get(name)), stem))
                };
                Value::Object(members.iter().map(one).collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    /// Whether the text matches the page; if so, binds the names in it.
    fn fits(&mut self, said: &str, happened: &str) -> bool {
        let mut bound = Vec::new();
        let (mut literal, mut rest) = (0, happened);
        for (at, name) in placeholders(said) {
            let Some(after) = rest.strip_prefix(&said[literal..at]) else { return false };
            literal = at + name.len();
            let known = self.value(name).or(bound.iter().find(|(n, _)| *n == name).map(|(_, value)| *value));
            let value = match known {
                Some(value) if after.starts_with(value) => Some(&after[..value.len()]),
                Some(value) => leading_time(after).filter(|time| is_same_instant(time, value)),
                None if name.starts_with("<time") => leading_time(after),
                None => leading_id(after),
            };
            let Some(value) = value else { return false };
            bound.push((name, value));
            rest = &after[value.len()..];
        }
        let fits = rest == &said[literal..];
        if fits {
            for (name, value) in bound {
                if self.value(name).is_none() {
                    self.bind(name, value);
                }
            }
        }
        fits
    }

    /// A name that the page does not use.
    fn fresh(&mut self, stem: &str) -> String {
        let names = (1..).map(|n| format!("<{stem} {n}>"));
        let name = names.into_iter().find(|name| !self.used.contains(name)).expect("there is a next number");
        self.used.push(name.clone());
        name
    }
}

/// One instant has several forms: trailing zeros, `Z` or `+00:00`.
fn is_same_instant(a: &str, b: &str) -> bool {
    let instant = |text| OffsetDateTime::parse(text, &Rfc3339);
    matches!((instant(a), instant(b)), (Ok(a), Ok(b)) if a == b)
}

/// The placeholders in a text and their positions: lower-case letters, digits, spaces and hyphens in angle brackets.
fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices('<').filter_map(|(at, _)| {
        let name = &text[at..=at + text[at..].find('>')?];
        let inner = &name[1..name.len() - 1];
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ' ' || c == '-';
        (inner.starts_with(|c: char| c.is_ascii_lowercase()) && inner.chars().all(good)).then_some((at, name))
    })
}

fn leading_id(text: &str) -> Option<&str> {
    text.get(..ID).filter(|id| Uuid::try_parse(id).is_ok())
}

fn leading_time(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "-:.TZ+".contains(c))).unwrap_or(text.len());
    // Takes the longest valid prefix, because a shorter one may be valid too.
    (1..=end).rev().map(|end| &text[..end]).find(|time| OffsetDateTime::parse(time, &Rfc3339).is_ok())
}

/// The first unnamed id or instant in a text.
fn unknown(text: &str) -> Option<(usize, &str)> {
    let starts = text.char_indices().filter(|(_, c)| c.is_ascii_hexdigit()).map(|(at, _)| at);
    starts.into_iter().find_map(|at| {
        let rest = &text[at..];
        // Constants in the page stay as they are: only version 7 UUIDs are ours, and our instants have fractional
        // seconds.
        let id = || leading_id(rest).filter(|id| id.as_bytes()[14] == b'7');
        let time = || leading_time(rest).filter(|time| time.contains('.'));
        id().or_else(time).map(|value| (at, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0192f7a0-0000-7000-8000-00000000000a";
    const B: &str = "0192f7a0-0000-7000-8000-00000000000b";

    #[test]
    fn the_first_use_binds_a_name_and_later_ones_must_be_equal() {
        let mut names = Names::of("<ada> <bob>");
        assert_eq!(names.tell(&format!("/Users/{A}"), Some("/Users/<ada>"), "id"), "/Users/<ada>");
        assert_eq!(names.fill("/Users/<ada>/<nobody>"), format!("/Users/{A}/<nobody>"));
        assert_eq!(names.tell(B, Some("<ada>"), "id"), "<id 1>", "does not match the page");
        assert_eq!(names.tell(A, Some("text"), "id"), "<ada>");
        assert_eq!(names.tell(&format!("{A}, {B}"), None, "id"), "<ada>, <id 1>");
    }

    #[test]
    fn a_name_matches_only_values_of_its_kind() {
        let mut names = Names::of("");
        assert!(names.fits("at <time of birth>.", "at 2026-11-24T10:00:00.123Z."));
        assert!(names.fits("<time of birth>", "2026-11-24T10:00:00.1230+00:00"), "the same instant");
        assert!(!names.fits("<time of birth>", "2026-11-24T10:00:00.124Z"));
        assert!(!names.fits("<time of death>", "yesterday"));
        assert!(!names.fits("<ada>", "2026-11-24T10:00:00.123Z"));
        assert!(!names.fits("<ada> <ada>", &format!("{A} {B}")));
        assert!(names.value("<ada>").is_none(), "a mismatch binds no name");
    }
}

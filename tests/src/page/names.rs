//! What differs from run to run, by name: `<ada>` is an id, `<time of birth>` (any name that begins with `time`) an
//! instant. The first use binds the name, later uses must be equal.
//!
//! Before it: a page's text and what happened. After it: what happened, in the page's words.

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// Characters of a UUID in its usual form.
const ID: usize = 36;

/// The names of a page and what they stand for.
#[derive(Clone)]
pub struct Names {
    /// Names with their brackets, and their values.
    bound: Vec<(String, String)>,
    /// All names that the page uses, bound already or not.
    used: Vec<String>,
}

impl Names {
    /// Those of a page, none bound yet.
    pub fn of(page: &str) -> Self {
        Self { bound: Vec::new(), used: placeholders(page).map(|(_, name)| name.to_owned()).collect() }
    }

    /// Gives a name a value.
    pub fn bind(&mut self, name: &str, value: &str) {
        self.bound.push((name.to_owned(), value.to_owned()));
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.bound.iter().find(|(bound, _)| bound == name).map(|(_, value)| value.as_str())
    }

    /// A text of the page with the names' values. What is bound to nothing stays as it is.
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

    /// What happened, in the page's words: as the page says it if that fits (new names are bound), else with the names
    /// that are known, and new ones, called after `stem`, for ids and instants that are not.
    pub fn tell(&mut self, happened: &str, said: Option<&str>, stem: &str) -> String {
        if let Some(said) = said
            && self.fits(said, happened)
        {
            return said.to_owned();
        }
        let mut told = happened.to_owned();
        for (name, value) in &self.bound {
            told = told.replace(value, name);
        }
        while let Some((at, value)) = unknown(&told) {
            let value = value.to_owned();
            let same = self.bound.iter().find(|(_, known)| is_same_instant(known, &value));
            let name = match same.map(|(name, _)| name.clone()) {
                Some(name) => name,
                None => self.fresh(if value.len() == ID { stem } else { "time" }),
            };
            told.replace_range(at..at + value.len(), &name);
            self.bind(&name, &value);
        }
        told
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

    /// Whether what happened is what the page says; if so, the names in it are bound.
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

/// The names in a text and where they stand: small letters, digits, spaces and hyphens in angle brackets.
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
    // A shorter instant would be a part of this one.
    (1..=end).rev().map(|end| &text[..end]).find(|time| OffsetDateTime::parse(time, &Rfc3339).is_ok())
}

/// The first id or instant in a text.
fn unknown(text: &str) -> Option<(usize, &str)> {
    let starts = text.char_indices().filter(|(_, c)| c.is_ascii_hexdigit()).map(|(at, _)| at);
    starts.into_iter().find_map(|at| {
        let rest = &text[at..];
        // What a page says of its own accord stands there as it is: our ids are UUIDs of version 7, and our instants
        // are not of a whole second.
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
        assert_eq!(names.tell(B, Some("<ada>"), "id"), "<id 1>", "not what the page says");
        assert_eq!(names.tell(A, Some("text"), "id"), "<ada>");
        assert_eq!(names.tell(&format!("{A}, {B}"), None, "id"), "<ada>, <id 1>");
    }

    #[test]
    fn a_name_stands_for_what_it_is_called_after() {
        let mut names = Names::of("");
        assert!(names.fits("at <time of birth>.", "at 2026-11-24T10:00:00.123Z."));
        assert!(names.fits("<time of birth>", "2026-11-24T10:00:00.1230+00:00"), "the same instant");
        assert!(!names.fits("<time of birth>", "2026-11-24T10:00:00.124Z"));
        assert!(!names.fits("<time of death>", "yesterday"));
        assert!(!names.fits("<ada>", "2026-11-24T10:00:00.123Z"));
        assert!(!names.fits("<ada> <ada>", &format!("{A} {B}")));
        assert!(names.value("<ada>").is_none(), "what does not fit binds nothing");
    }
}

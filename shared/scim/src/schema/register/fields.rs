//! Reads the fields of a schema definition. Errors name the field.

use serde_json::{Map, Value};

use super::{MAX_CANONICAL, MAX_DESCRIPTION, MAX_URN_LENGTH};
use crate::error::{Error, echo};
use crate::json::check_names;
use crate::schema::Text;

/// The fields of one object of the definition, and its path.
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
    at: String,
}

impl<'a> Fields<'a> {
    /// Rejects unknown fields, which are probably misspelt.
    pub(super) fn of(value: &'a Value, at: &str, known: &[&str]) -> Result<Self, Error> {
        let Value::Object(members) = value else {
            let at = if at.is_empty() { "the definition" } else { at };
            return Err(Error::invalid_value(format!("{at} must be an object")));
        };
        check_names(&at, members.keys())?;
        let fields = Self { members, at: at.to_owned() };
        let is_unknown = |name: &&String| !known.iter().any(|known| known.eq_ignore_ascii_case(name));
        match members.keys().find(is_unknown) {
            Some(name) => {
                Err(fields.wrong(&echo(name), "is not a field of a schema definition (RFC 7643 §7)"))
            }
            None => Ok(fields),
        }
    }

    pub(super) fn place(&self, name: &str) -> String {
        let dot = if self.at.is_empty() { "" } else { "." };
        format!("{}{dot}{name}", self.at)
    }

    pub(super) fn wrong(&self, name: &str, what: &str) -> Error {
        Error::invalid_value(format!("{} {what}", self.place(name)))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        let found = self.members.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str, max: usize) -> Result<Option<&'a str>, Error> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= max => Ok(Some(text)),
            Some(Value::String(_)) => {
                Err(self.wrong(name, &format!("has more than the {max} characters allowed")))
            }
            Some(_) => Err(self.wrong(name, "must be a string")),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.get(name)
            .map(|value| value.as_bool().ok_or_else(|| self.wrong(name, "must be true or false")))
            .transpose()
    }

    pub(super) fn list(&self, name: &str, max: usize) -> Result<&'a [Value], Error> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) if list.len() <= max => Ok(list),
            Some(Value::Array(_)) => {
                Err(self.wrong(name, &format!("has more than the {max} entries allowed")))
            }
            Some(_) => Err(self.wrong(name, "must be a list")),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<Text>, Error> {
        let texts = self.list(name, MAX_CANONICAL)?.iter().map(|text| match text {
            Value::String(text) if text.chars().count() <= MAX_URN_LENGTH => Ok(text.clone().into()),
            _ => Err(self.wrong(name, &format!("must be strings of at most {MAX_URN_LENGTH} characters"))),
        });
        texts.collect()
    }

    /// One of the RFC's values for a characteristic.
    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        as_str: fn(T) -> &'static str,
    ) -> Result<Option<T>, Error> {
        let Some(given) = self.text(name, MAX_DESCRIPTION)? else { return Ok(None) };
        let found = all.iter().copied().find(|one| as_str(*one).eq_ignore_ascii_case(given));
        found.map(Some).ok_or_else(|| {
            let words: Vec<&str> = all.iter().map(|one| as_str(*one)).collect();
            self.wrong(name, &format!("must be one of {}", words.join(", ")))
        })
    }
}

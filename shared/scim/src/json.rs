//! Parses a request body to a JSON value.
//!
//! Duplicate names, which parsers interpret differently, and U+0000, which PostgreSQL cannot store, are rejected. The
//! error names the attribute and does not repeat its value. An integer that does not fit 64 bits is read as the text of
//! its digits, because only a string attribute can store it.

mod literals;

use std::fmt::{self, Display};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use self::literals::Literals;
use super::error::{Error, ScimType, echo};

/// The maximum nesting of objects and lists. The parser's own limit is 128. This one is lower, because the body is
/// later nested some levels deeper in the envelope of a command.
pub const MAX_DEPTH: usize = 64;

/// Parses a request body: one JSON object, at most [`MAX_DEPTH`] levels deep, without duplicate names (RFC 8259 §4) and
/// without U+0000.
///
/// # Errors
/// 400 `invalidSyntax` for anything else; 400 `invalidValue` for U+0000, which JSON allows and PostgreSQL does not.
pub fn parse_json(body: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(body).map_err(|_| Error::invalid_syntax("the body is not valid UTF-8"))?;
    let mut found = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let reader =
        Reader { place: &Place::Root, depth: 0, found: &mut found, literals: &mut Literals::of(text) };
    let parsed = reader.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    if let Some(error) = found {
        return Err(error);
    }
    match parsed {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Error::invalid_syntax("the body must be a JSON object")),
        Err(error) => Err(Error::invalid_syntax(format!(
            "the body is not valid JSON (line {}, column {})",
            error.line(),
            error.column()
        ))),
    }
}

/// The reader's position: a linked list on the stack, formatted only for an error.
enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Element(&'a Place<'a>),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Member(Place::Root, name) => f.write_str(name),
            Place::Member(parent, name) => write!(f, "{parent}.{name}"),
            Place::Element(parent) => write!(f, "{parent}"),
        }
    }
}

impl Place<'_> {
    fn shown(&self) -> String {
        echo(&self.to_string())
    }
}

/// Builds a `Value` and keeps the first error that is not a syntax error.
struct Reader<'a, 't> {
    place: &'a Place<'a>,
    depth: usize,
    found: &'a mut Option<Error>,
    literals: &'a mut Literals<'t>,
}

impl<'t> Reader<'_, 't> {
    fn refuse<E: de::Error>(&mut self, scim_type: ScimType, detail: String) -> E {
        self.found.get_or_insert(Error::bad_request(scim_type, detail));
        E::custom("rejected")
    }

    fn check<E: de::Error>(&mut self, text: &str) -> Result<(), E> {
        if !text.contains('\0') {
            return Ok(());
        }
        let detail = format!("{} contains the character U+0000, which cannot be stored", self.place.shown());
        Err(self.refuse(ScimType::InvalidValue, detail))
    }

    fn descend<E: de::Error>(&mut self) -> Result<(), E> {
        if self.depth < MAX_DEPTH {
            return Ok(());
        }
        let detail = format!("the body is nested more than {MAX_DEPTH} levels deep");
        Err(self.refuse(ScimType::InvalidSyntax, detail))
    }

    /// A reader for a nested value.
    fn below<'b>(&'b mut self, place: &'b Place<'b>, depth: usize) -> Reader<'b, 't> {
        Reader { place, depth, found: &mut *self.found, literals: &mut *self.literals }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        self.literals.next();
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        self.literals.next();
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        if let Some(digits) = self.literals.next().filter(|literal| is_large_integer(literal, value)) {
            return Ok(Value::from(digits));
        }
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: de::Error>(mut self, value: &str) -> Result<Value, E> {
        self.check(value)?;
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<Value, A::Error> {
        self.descend()?;
        let mut elements = Vec::new();
        let (place, depth) = (Place::Element(self.place), self.depth + 1);
        while let Some(element) = sequence.next_element_seed(self.below(&place, depth))? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        self.descend()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.entry(name) {
                Entry::Vacant(slot) => {
                    let place = Place::Member(self.place, slot.key());
                    let depth = self.depth + 1;
                    let mut reader = self.below(&place, depth);
                    reader.check(slot.key())?;
                    let value = members.next_value_seed(reader)?;
                    slot.insert(value);
                }
                Entry::Occupied(slot) => {
                    let shown = Place::Member(self.place, slot.key()).shown();
                    return Err(self.refuse(ScimType::InvalidSyntax, format!("{shown} is given twice")));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

/// Whether a literal is written as an integer that does not fit 64 bits. The JSON parser reads such a literal as a
/// float.
pub(super) fn is_large_integer(literal: &str, read: f64) -> bool {
    read != 0.0 && literal.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Whether the value is unassigned (RFC 7643 §2.5 has null and []); Okta pushes attributes without a value as `""`.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.iter().all(is_empty),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Rejects names that differ only in case. They are the same attribute (RFC 7643 §2.1), and its value must not depend
/// on their order.
pub(super) fn check_names<'n>(
    path: &dyn Display,
    names: impl Iterator<Item = &'n String>,
) -> Result<(), Error> {
    let mut names: Vec<String> = names.map(|name| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => {
            let path = path.to_string();
            let dot = if path.is_empty() { "" } else { "." };
            Err(Error::invalid_syntax(format!("{path}{dot}{} is given twice", echo(&pair[0]))))
        }
    }
}

/// The size of the text in the value, in bytes.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: impl AsRef<[u8]>) -> (Option<ScimType>, String) {
        let error = parse_json(body.as_ref()).expect_err("must be rejected");
        assert_eq!(error.status, 400);
        (error.scim_type, error.detail)
    }

    #[test]
    fn an_object_is_parsed_unchanged() {
        let body = r#"{"a":[1,-2,1.5,true,null,{"b":"\u00e9"}]}"#;
        assert_eq!(parse_json(body.as_bytes()).unwrap(), serde_json::from_str::<Value>(body).unwrap());
    }

    #[test]
    fn integers_keep_all_their_digits() {
        let body = r#"{"a":18446744073709551615,"b":{"1\"2":-123456789012345678901234567890},"c":[1e2,18446744073709551616]}"#;
        let expected = serde_json::json!({
            "a": u64::MAX, "b": { "1\"2": "-123456789012345678901234567890" }, "c": [1e2, "18446744073709551616"],
        });
        assert_eq!(parse_json(body.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_body_that_is_not_an_object_is_invalid_syntax() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        let bodies: [&[u8]; 8] = [
            b"",
            b"[]",
            b"\"ann\"",
            b"{",
            b"{} {}",
            b"{\"a\":1e999}",
            &[0x7b, 0x22, 0xff, 0x22, 0x7d],
            deep.as_bytes(),
        ];
        for body in bodies {
            assert_eq!(refusal(body).0, Some(ScimType::InvalidSyntax));
        }
    }

    #[test]
    fn nul_is_rejected_with_an_error_that_names_the_attribute() {
        for (body, name) in [
            (r#"{"userName":"secret\u0000"}"#, "userName"),
            (r#"{"emails":[{"value":"secret\u0000"}]}"#, "emails.value"),
            (r#"{"a\u0000b":"secret"}"#, "a\u{fffd}b"),
        ] {
            let (scim_type, detail) = refusal(body);
            assert_eq!(scim_type, Some(ScimType::InvalidValue));
            assert!(detail.starts_with(&format!("{name} contains")), "{detail}");
            assert!(!detail.contains("secret"));
        }
    }

    #[test]
    fn a_duplicate_name_is_rejected() {
        let (scim_type, detail) = refusal(r#"{"active":true,"active":false}"#);
        assert_eq!((scim_type, detail.as_str()), (Some(ScimType::InvalidSyntax), "active is given twice"));
    }

    #[test]
    fn an_error_repeats_nothing_of_the_body() {
        assert!(!refusal(r#"{"userName": ann.lee"#).1.contains("ann"));
    }
}

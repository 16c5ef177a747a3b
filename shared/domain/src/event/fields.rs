//! Reads the fields of an event from JSON. Errors name the field, without its value.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// The maximum length of `id`, `source`, title and similar texts, in bytes: ids are index keys.
pub(super) const MAX_TEXT: usize = 1_000;

/// A JSON object with its path, so that errors name the field.
pub(super) struct Object<'a> {
    at: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn wrong(&self, field: &str, what: &str) -> String {
        format!("{}{field} {what}", self.at)
    }

    fn required(&self, field: &str) -> Result<&'a Value, String> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Err(self.wrong(field, "is required")),
            Some(value) => Ok(value),
        }
    }

    pub(super) fn optional<T>(
        &self,
        field: &str,
        get: impl Fn(&Self, &str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => get(self, field).map(Some),
        }
    }

    pub(super) fn text(&self, field: &str, max: usize) -> Result<&'a str, String> {
        let text = self.required(field)?.as_str().ok_or_else(|| self.wrong(field, "must be a string"))?;
        if text.trim().is_empty() {
            return Err(self.wrong(field, "must not be empty"));
        }
        if text.contains('\0') {
            return Err(self.wrong(field, "must not contain U+0000"));
        }
        if text.len() > max {
            return Err(self.wrong(field, &format!("must have at most {max} bytes")));
        }
        Ok(text)
    }

    pub(super) fn time(&self, field: &str) -> Result<OffsetDateTime, String> {
        OffsetDateTime::parse(self.text(field, MAX_TEXT)?, &Rfc3339)
            .ok()
            .filter(|time| {
                time.checked_to_offset(UtcOffset::UTC).is_some_and(|utc| (1..=9999).contains(&utc.year()))
            })
            .ok_or_else(|| {
                self.wrong(field, "must be a date and time as in RFC 3339, between the years 1 and 9999")
            })
    }

    pub(super) fn number(&self, field: &str) -> Result<f64, String> {
        self.required(field)?.as_f64().ok_or_else(|| self.wrong(field, "must be a number"))
    }

    pub(super) fn boolean(&self, field: &str) -> Result<bool, String> {
        self.required(field)?.as_bool().ok_or_else(|| self.wrong(field, "must be true or false"))
    }

    pub(super) fn object(&self, field: &str) -> Result<Object<'a>, String> {
        let fields =
            self.required(field)?.as_object().ok_or_else(|| self.wrong(field, "must be an object"))?;
        Ok(Object { at: format!("{}{field}.", self.at), fields })
    }
}

/// Checks the attributes that every event has.
pub(super) fn envelope(value: &Value) -> Result<Object<'_>, String> {
    let Value::Object(envelope) = value else { return Err("the event must be a JSON object".to_owned()) };
    let envelope = Object { at: String::new(), fields: envelope };
    if envelope.text("specversion", 10)? != "1.0" {
        return Err("specversion must be \"1.0\"".to_owned());
    }
    for field in ["id", "source"] {
        envelope.text(field, MAX_TEXT)?;
    }
    for field in ["subject", "datacontenttype", "tenant", "dataschema"] {
        envelope.optional(field, |e, f| e.text(f, MAX_TEXT))?;
    }
    envelope.optional("time", Object::time)?;
    if envelope.fields.contains_key("data_base64") {
        return Err("data must be JSON in the field data, not data_base64".to_owned());
    }
    Ok(envelope)
}

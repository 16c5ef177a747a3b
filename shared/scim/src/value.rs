//! Validation of one value against its attribute's definition: coercion, limits and emptiness.
//!
//! An error names the attribute and its limit but never the value. null, "", [] and {} all mean "no value" (RFC 7643
//! §2.5, extended for clients that send empty attributes).

pub(super) mod lenient;
mod numbers;

use std::borrow::Cow;
use std::fmt::Display;

use serde_json::{Map, Value};

use super::error::Error;
use super::json::{check_names, is_empty};
use super::schema::{Attribute, DataType};

pub(super) use lenient::alone;

/// A boolean, also in text form.
pub fn as_boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => lenient::boolean(text),
        _ => None,
    }
}

/// The canonical form of an attribute's whole value; `None` if it is empty.
///
/// # Errors
/// 400 `invalidValue`, naming the path.
pub(super) fn coerce(
    attribute: &Attribute,
    path: &dyn Display,
    value: &Value,
) -> Result<Option<Value>, Error> {
    if attribute.multi_valued {
        let elements = coerce_elements(attribute, path, value)?;
        return Ok((!elements.is_empty()).then_some(Value::Array(elements)));
    }
    coerce_one(attribute, path, value)
}

/// The elements of a multi-valued attribute. A single value is treated as a list of one.
pub(super) fn coerce_elements(
    attribute: &Attribute,
    path: &dyn Display,
    value: &Value,
) -> Result<Vec<Value>, Error> {
    let given = lenient::elements(value);
    check_count(attribute, path, given.len())?;
    let mut elements = Vec::with_capacity(given.len());
    for element in given {
        elements.extend(coerce_one(attribute, path, element)?);
    }
    Ok(elements)
}

/// Rejects a list that is too long.
pub(super) fn check_count(attribute: &Attribute, path: &dyn Display, count: usize) -> Result<(), Error> {
    let max = attribute.max_values;
    if count <= max {
        return Ok(());
    }
    Err(Error::invalid_value(format!("{path} has {count} values, more than the {max} allowed")))
}

/// Coerces the value of a single-valued attribute, or one element of a multi-valued attribute.
pub(super) fn coerce_one(
    attribute: &Attribute,
    path: &dyn Display,
    value: &Value,
) -> Result<Option<Value>, Error> {
    let value = if attribute.multi_valued { value } else { alone(value) };
    let value = lenient::plain(attribute, value);
    if is_empty(value) {
        return Ok(None);
    }
    let wrong = |wanted: &str| Err(Error::invalid_value(format!("{path} must be {wanted}")));
    if let (Value::Array(elements), false) = (value, attribute.multi_valued) {
        return wrong(&format!("one value, not a list of {}", elements.len()));
    }
    let converted = match attribute.data_type {
        DataType::Complex => return coerce_complex(attribute, path, value),
        DataType::Boolean => as_boolean(value).map(Value::Bool),
        DataType::Integer => numbers::integer(value),
        DataType::Decimal => numbers::decimal(value),
        DataType::String | DataType::Reference | DataType::Binary | DataType::DateTime => {
            match text(attribute, value) {
                Some(text) => Some(check_text(attribute, path, &text)?.into_owned().into()),
                None => None,
            }
        }
    };
    match (converted, attribute.data_type) {
        (Some(value), _) => Ok(Some(value)),
        (None, DataType::Boolean) => wrong("a boolean"),
        (None, DataType::Integer) => wrong("an integer"),
        (None, DataType::Decimal) => wrong("a number"),
        (None, _) => wrong("a string"),
    }
}

/// The text of a value; a number is accepted for a string attribute.
fn text<'v>(attribute: &Attribute, value: &'v Value) -> Option<Cow<'v, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) if attribute.data_type == DataType::String => {
            numbers::text(number).map(Cow::Owned)
        }
        _ => None,
    }
}

/// Validates a text and returns the form in which it is stored.
fn check_text<'t>(attribute: &Attribute, path: &dyn Display, text: &'t str) -> Result<Cow<'t, str>, Error> {
    let max = attribute.max_length;
    // A text has at least as many bytes as characters, and bytes are cheaper to count.
    if text.len() > max {
        let length = text.chars().count();
        if length > max {
            let detail = format!("{path} has {length} characters, more than the {max} allowed");
            return Err(Error::invalid_value(detail));
        }
    }
    match attribute.data_type {
        DataType::Binary if !is_base64(text) => Err(Error::invalid_value(format!("{path} must be base64"))),
        DataType::DateTime => lenient::date_time(text)
            .ok_or_else(|| Error::invalid_value(format!("{path} must be a date and time as in RFC 3339"))),
        _ => Ok(Cow::Borrowed(text)),
    }
}

/// Base64 or base64url (RFC 7643 §2.3.6), with or without padding and line breaks.
fn is_base64(text: &str) -> bool {
    let text = text.trim_end_matches(|c: char| c == '=' || c.is_ascii_whitespace());
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    text.chars().all(|c| is_letter(c) || c.is_ascii_whitespace())
        && text.chars().filter(|c| is_letter(*c)).count() % 4 != 1
}

/// Coerces an object, or a bare value that stands for its `value`.
fn coerce_complex(attribute: &Attribute, path: &dyn Display, value: &Value) -> Result<Option<Value>, Error> {
    let given = as_complex(attribute, path, value)?;
    let mut members = Map::new();
    for (sub, value) in sub_values(attribute, path, &given)? {
        if let Some(value) = coerce(sub, &format_args!("{path}.{}", sub.name), value)? {
            members.insert(sub.name.to_string(), value);
        }
    }
    Ok((!members.is_empty()).then_some(Value::Object(members)))
}

/// The members of a complex value as sent.
pub(super) fn as_complex<'v>(
    attribute: &Attribute,
    path: &dyn Display,
    value: &'v Value,
) -> Result<Cow<'v, Map<String, Value>>, Error> {
    lenient::as_complex(attribute, value)
        .ok_or_else(|| Error::invalid_value(format!("{path} must be an object")))
}

/// The writable sub-attributes with their values. Unknown and readOnly members are ignored, as everywhere.
pub(super) fn sub_values<'a, 'v>(
    attribute: &'a Attribute,
    path: &dyn Display,
    members: &'v Map<String, Value>,
) -> Result<Vec<(&'a Attribute, &'v Value)>, Error> {
    check_names(path, members.keys())?;
    let known = members.iter().filter_map(|(name, value)| Some((attribute.sub_attribute(name)?, value)));
    Ok(known.filter(|(sub, _)| sub.is_writable()).collect())
}

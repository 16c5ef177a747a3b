//! Reads the ids of members in the value of an operation.

use serde_json::Value;
use uuid::Uuid;

use crate::error::Error;
use crate::json::is_empty;
use crate::value::lenient::elements;

/// Whether the value means "no members": only null and `[]` do.
pub(super) fn lists_nobody(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Whether the element should identify a member. Otherwise it only has sub-attributes that are derived from the user.
pub(super) fn names_somebody(element: &Value) -> bool {
    element.as_object().is_none_or(|members| members.is_empty() || members.keys().any(|name| is_value(name)))
}

fn is_value(name: &str) -> bool {
    name.eq_ignore_ascii_case("value")
}

/// The ids in the value: objects with a `value`, or bare ids. A blank id is an error: the client failed to look up an
/// id, and members must not be removed because of that.
pub(super) fn ids(value: &Value) -> Result<Vec<Uuid>, Error> {
    if lists_nobody(value) {
        return Ok(Vec::new());
    }
    elements(value).iter().enumerate().map(|(position, element)| id_of(position, element)).collect()
}

fn id_of(position: usize, element: &Value) -> Result<Uuid, Error> {
    let wrong = |what: &str| Err(Error::invalid_value(format!("members[{position}]{what}")));
    let given = match element {
        Value::Object(members) => {
            let mut values = members.iter().filter(|(name, _)| is_value(name)).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (_, Some(_)) => {
                    let detail = format!("members[{position}].value is given twice");
                    return Err(Error::invalid_syntax(detail));
                }
                (Some(value), None) if !(value.is_string() || is_empty(value)) => {
                    return wrong(".value must be a string");
                }
                (value, None) => value.unwrap_or(&Value::Null),
            }
        }
        bare if bare.is_string() || is_empty(bare) => bare,
        _ => return wrong(" must be an object with a value"),
    };
    match given.as_str().map(str::trim) {
        None | Some("") => wrong(".value is required"),
        Some(_) => Ok(id(given.as_str().unwrap_or_default())),
    }
}

/// Parses an id; any other text becomes nil.
pub(super) fn id(text: &str) -> Uuid {
    crate::parse_id(text).unwrap_or_default()
}

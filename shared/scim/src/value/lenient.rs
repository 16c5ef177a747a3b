//! Normalizes the forms in which clients write values to those of RFC 7643, by the attribute's definition. `value`,
//! `draft` and the filters handle only the RFC's forms.
//!
//! | form | stands for |
//! |---|---|
//! | [`alone`]: `["x"]`, `[{"value": "x"}]` for a single value | `"x"` |
//! | [`plain`]: `{"value": "x", "$ref": null}` for a simple value | `"x"` |
//! | [`says_nothing`]: `{}`, `{"value": ""}` for a complex value | null |
//! | [`date_time`]: `2026-01-02T03:04:05` | the same in UTC; XML Schema leaves the zone open |
//! | [`boolean`]: `"True"`, `"False"` (Entra ID) | `true`, `false` |
//! | [`elements`]: `"x"` for a list of values | `["x"]` |
//! | [`listed`]: a remove with a list of values (Entra ID) | a remove of those values only |
//! | [`compared_part`]: `emails co "x"`, as in the RFC's examples | `emails.value co "x"` |
//! | `""` for an attribute without a value (Okta) | null |
//! | [`numbers`]: `"3"`, `3.0` for an integer, `"2.5"` for a decimal, `5` for a string | the value of the type |

use std::borrow::Cow;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::numbers;
use crate::json::is_empty;
use crate::schema::{Attribute, DataType};

/// Unwraps a list of one: Entra ID sends single values as lists (RFC 7643 §2.2 has lists for multi-valued attributes
/// only). An empty list means no value. Longer lists and nested lists are returned unchanged.
pub(crate) fn alone(value: &Value) -> &Value {
    match value {
        Value::Array(elements) => match elements.as_slice() {
            [element] if !element.is_array() => element,
            elements if elements.iter().all(is_empty) => &Value::Null,
            _ => value,
        },
        value => value,
    }
}

/// Unwraps a simple value that was sent as an object with a `value`: Entra ID writes `[{"value": "1"}]` for a list of
/// strings, and `{"$ref": null, "value": "x"}` for a string. Other members are unknown, and are ignored as usual.
pub(crate) fn plain<'v>(attribute: &Attribute, value: &'v Value) -> &'v Value {
    match value {
        Value::Object(members) if attribute.data_type != DataType::Complex => {
            let mut values = members.iter().filter(|(name, _)| is_value(name));
            match (values.next(), values.next()) {
                (Some((_, inner)), None) => inner,
                _ => value,
            }
        }
        value => value,
    }
}

/// Whether a complex value is empty: it has no members, or an empty `value` and no other non-empty member (RFC 7643
/// §2.5 has only null and []).
pub(crate) fn says_nothing(attribute: &Attribute, value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let has_value =
                attribute.sub_attribute("value").is_some() && members.keys().any(|name| is_value(name));
            members.is_empty() || (has_value && members.values().all(is_empty))
        }
        value => is_empty(value),
    }
}

/// The members of a complex value. A bare string or number is taken as its `value`: Entra ID sends `manager` in this
/// form (RFC 7643 §4.3), other clients send group members in it.
pub(crate) fn as_complex<'v>(attribute: &Attribute, value: &'v Value) -> Option<Cow<'v, Map<String, Value>>> {
    match value {
        Value::Object(members) => Some(Cow::Borrowed(members)),
        Value::String(_) | Value::Number(_) if attribute.sub_attribute("value").is_some() => {
            Some(Cow::Owned(Map::from_iter([("value".to_owned(), value.clone())])))
        }
        _ => None,
    }
}

/// The instant of a dateTime (RFC 7643 §2.3.5). Without a time zone it is in UTC: RFC 7643 refers to XML Schema's
/// `xsd:dateTime`, where the zone is optional.
pub fn instant(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&date_time(text)?, &Rfc3339).ok()
}

/// A dateTime as it is stored: with a time zone. `None` if the text is not a date and time.
pub(crate) fn date_time(text: &str) -> Option<Cow<'_, str>> {
    let is_instant = |text: &str| OffsetDateTime::parse(text, &Rfc3339).is_ok();
    if is_instant(text) {
        return Some(Cow::Borrowed(text));
    }
    let in_utc = format!("{text}Z");
    is_instant(&in_utc).then_some(Cow::Owned(in_utc))
}

/// The literal of a comparison in a filter, converted to the attribute's type: `employeeNumber eq 5`, `level gt "3"`.
pub fn compared<'v>(attribute: &Attribute, literal: &'v Value) -> Cow<'v, Value> {
    let converted = match (attribute.data_type, literal) {
        (DataType::String, Value::Number(number)) => numbers::text(number).map(Value::String),
        (DataType::Integer | DataType::Decimal, Value::String(text)) => numbers::compared(text),
        _ => None,
    };
    converted.map_or(Cow::Borrowed(literal), Cow::Owned)
}

/// A boolean sent as text: Entra ID writes `"True"` and `"False"` (RFC 7643 §2.3.2 requires JSON literals).
pub(crate) fn boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word))
        .map(|(_, value)| value)
}

/// The values of a multi-valued attribute. A single value is treated as a list of one, for clients that have only one
/// (RFC 7643 §2.4 requires a list).
pub(crate) fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        single => std::slice::from_ref(single),
    }
}

/// The values that a remove lists: Entra ID removes members in this way and means only those (RFC 7644 §3.5.2.2 has no
/// `value` in a remove, which would remove all).
pub(crate) fn listed(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// The sub-attribute by which a complex value is compared: `emails co "x"` is short for `emails.value co "x"`, as in
/// the examples of RFC 7644 §3.4.2.2.
pub fn compared_part(attribute: &Attribute) -> Option<&Attribute> {
    attribute.sub_attribute("value")
}

fn is_value(name: &str) -> bool {
    name.eq_ignore_ascii_case("value")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_one_is_unwrapped_and_a_longer_one_is_kept() {
        for (given, expected) in [
            (json!(["x"]), json!("x")),
            (json!([{ "value": "x" }]), json!({ "value": "x" })),
            (json!([]), json!(null)),
            (json!([null, ""]), json!(null)),
            (json!([false]), json!(false)),
            (json!(["x", "y"]), json!(["x", "y"])),
            (json!([["x"]]), json!([["x"]])),
            (json!("x"), json!("x")),
        ] {
            assert_eq!(alone(&given), &expected, "{given}");
        }
    }

    #[test]
    fn a_date_time_without_a_zone_is_in_utc_and_a_date_alone_is_rejected() {
        for (given, expected) in [
            ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05+01:00", Some("2026-01-02T03:04:05+01:00")),
            ("2026-01-02T03:04:05", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05.25", Some("2026-01-02T03:04:05.25Z")),
            ("2026-01-02", None),
            ("2026-01-02T", None),
            ("2026-01-02T03:04", None),
            ("2026-13-02T03:04:05", None),
            ("03:04:05", None),
            ("", None),
        ] {
            assert_eq!(date_time(given).as_deref(), expected, "{given}");
        }
    }
}

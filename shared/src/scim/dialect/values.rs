//! Values that clients write in another form than RFC 7643 has: which form stands for which value, by the attribute's row.
//!
//! Before it: a value as it was sent. After it: `value`, `draft` and filters, which know the RFC's forms only.
//!
//! | form | stands for |
//! |---|---|
//! | [`alone`]: `["x"]`, `[{"value": "x"}]` where one value is due | `"x"` |
//! | [`plain`]: `{"value": "x", "$ref": null}` where the value has no parts | `"x"` |
//! | [`says_nothing`]: `{}`, `{"value": ""}` for a whole complex value | null |
//! | [`date_time`]: `2026-01-02T03:04:05` | the same in UTC, as XML Schema leaves it |
//! | [`numbers`]: `"3"`, `3.0` for an integer, `"2.5"` for a decimal, `5` for a string | the value of the type |

use std::borrow::Cow;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::numbers;
use crate::scim::schema::{Attribute, DataType};
use crate::scim::value::is_empty;

/// A value in a list of one is that value: Entra ID sends single values so (RFC 7643 §2.2 has lists for multi-valued
/// attributes only). An empty list is no value. A longer one, and a list in a list, stay what they are.
pub(in crate::scim) fn alone(value: &Value) -> &Value {
    match value {
        Value::Array(elements) => match elements.as_slice() {
            [element] if !element.is_array() => element,
            elements if elements.iter().all(is_empty) => &Value::Null,
            _ => value,
        },
        value => value,
    }
}

/// A value without parts that was sent as an object with a `value`: Entra ID writes `[{"value": "1"}]` for a list of
/// strings, and `{"$ref": null, "value": "x"}` for one. What else the object holds is unknown, and ignored as everywhere.
pub(in crate::scim) fn plain<'v>(attribute: &Attribute, value: &'v Value) -> &'v Value {
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

/// Whether a complex value is empty as a whole: it has no members, or a `value` that is empty, and nothing else
/// (RFC 7643 §2.5 knows null and []).
pub(in crate::scim) fn says_nothing(attribute: &Attribute, value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let has_value =
                attribute.sub_attribute("value").is_some() && members.keys().any(|name| is_value(name));
            members.is_empty() || (has_value && members.values().all(is_empty))
        }
        value => is_empty(value),
    }
}

/// The members of a complex value. A bare string or number is its `value`: Entra ID sends `manager` so (RFC 7643 §4.3),
/// others the members of groups.
pub(in crate::scim) fn as_complex<'v>(
    attribute: &Attribute,
    value: &'v Value,
) -> Option<Cow<'v, Map<String, Value>>> {
    match value {
        Value::Object(members) => Some(Cow::Borrowed(members)),
        Value::String(_) | Value::Number(_) if attribute.sub_attribute("value").is_some() => {
            Some(Cow::Owned(Map::from_iter([("value".to_owned(), value.clone())])))
        }
        _ => None,
    }
}

/// The instant that a dateTime tells (RFC 7643 §2.3.5). Without a zone it is in UTC: RFC 7643 refers to XML Schema's
/// `xsd:dateTime`, where the zone may be missing.
pub(crate) fn instant(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&date_time(text)?, &Rfc3339).ok()
}

/// A dateTime as it is kept: with a zone. None for what is no date with a time.
pub(in crate::scim) fn date_time(text: &str) -> Option<Cow<'_, str>> {
    let is_instant = |text: &str| OffsetDateTime::parse(text, &Rfc3339).is_ok();
    if is_instant(text) {
        return Some(Cow::Borrowed(text));
    }
    let in_utc = format!("{text}Z");
    is_instant(&in_utc).then_some(Cow::Owned(in_utc))
}

/// The value of a comparison in a filter as one of the attribute's type, where it is written as one of another:
/// `employeeNumber eq 5`, `level gt "3"`.
pub(crate) fn compared<'v>(attribute: &Attribute, literal: &'v Value) -> Cow<'v, Value> {
    let converted = match (attribute.data_type, literal) {
        (DataType::String, Value::Number(number)) => numbers::text(number).map(Value::String),
        (DataType::Integer | DataType::Decimal, Value::String(text)) => numbers::compared(text),
        _ => None,
    };
    converted.map_or(Cow::Borrowed(literal), Cow::Owned)
}

fn is_value(name: &str) -> bool {
    name.eq_ignore_ascii_case("value")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_one_is_its_value_and_a_longer_one_is_none() {
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
    fn a_date_and_time_without_a_zone_is_in_utc_and_a_date_alone_is_none() {
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

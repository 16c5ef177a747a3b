//! Compares values of a list: whether two are equal, or equal in some of their parts.

use serde_json::Value;

use crate::case::folded;
use crate::schema::Attribute;

/// Whether the existing value has all parts of the element, with equal values.
pub(super) fn contains(attribute: &Attribute, existing: &Value, element: &Value) -> bool {
    match (existing, element) {
        (Value::Object(existing), Value::Object(element)) => element.iter().all(|(name, value)| {
            let sub = attribute.sub_attribute(name).unwrap_or(attribute);
            existing.get(name).is_some_and(|existing| is_equal(sub, existing, value))
        }),
        (existing, element) => is_equal(attribute, existing, element),
    }
}

/// Whether the two have the same `value` and `type`.
pub(super) fn is_same(attribute: &Attribute, existing: &Value, element: &Value) -> bool {
    element.get("value").is_some()
        && is_equal_part(attribute, "value", existing, element)
        && is_equal_part(attribute, "type", existing, element)
}

/// Whether both have this part with equal values, or neither has it.
pub(super) fn is_equal_part(attribute: &Attribute, name: &str, one: &Value, other: &Value) -> bool {
    match (one.get(name), other.get(name)) {
        (Some(one), Some(other)) => is_equal(attribute.sub_attribute(name).unwrap_or(attribute), one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Whether the two values are equal, by the attribute's caseExact.
fn is_equal(attribute: &Attribute, one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) if !attribute.case_exact => {
            one == other || folded(one) == folded(other)
        }
        (one, other) => one == other,
    }
}

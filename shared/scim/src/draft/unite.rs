//! Removes duplicates from a list of values (RFC 7643 §2.4: the same `type` and `value` should not be returned more
//! than once). Values are looked up by a key, so that the cost is linear.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Map, Value, json};

use crate::schema::{Attribute, DataType};
use crate::{folded_instant, folded_text};

/// The distinct values, in their order. The first of several duplicates is kept and completed with parts that only the
/// others have; it is primary if one of them is.
pub(super) fn united(attribute: &Attribute, elements: Vec<Value>) -> Vec<Value> {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(elements.len());
    let mut united: Vec<Value> = Vec::with_capacity(elements.len());
    for element in elements {
        match places.entry(identity(attribute, &element)) {
            Entry::Vacant(place) => {
                place.insert(united.len());
                united.push(element);
            }
            Entry::Occupied(place) => complete(&mut united[*place.get()], element),
        }
    }
    united
}

/// Whether the value is the primary one of its list.
pub(super) fn is_primary(element: &Value) -> bool {
    element.get("primary") == Some(&Value::Bool(true))
}

fn complete(existing: &mut Value, again: Value) {
    let is_either_primary = is_primary(existing) || is_primary(&again);
    if let (Value::Object(existing), Value::Object(again)) = (existing, again) {
        for (name, value) in again {
            existing.entry(name).or_insert(value);
        }
        if is_either_primary {
            existing.insert("primary".to_owned(), Value::Bool(true));
        }
    }
}

/// The identity of a value: `value` and `type` if it has a `value`, otherwise all parts except `primary`.
fn identity(attribute: &Attribute, element: &Value) -> String {
    let Value::Object(parts) = element else { return folded(attribute, element).to_string() };
    let part = |name: &str| {
        let value = parts.get(name)?;
        Some(attribute.sub_attribute(name).map_or_else(|| value.clone(), |sub| folded(sub, value)))
    };
    let identity = match part("value") {
        Some(value) => json!([value, part("type")]),
        None => {
            let names = parts.keys().filter(|name| *name != "primary");
            Value::Object(names.filter_map(|name| Some((name.clone(), part(name)?))).collect::<Map<_, _>>())
        }
    };
    identity.to_string()
}

/// The value in the form in which it is compared.
fn folded(attribute: &Attribute, value: &Value) -> Value {
    match value {
        Value::String(text) if attribute.data_type == DataType::DateTime => {
            folded_instant(text).map_or_else(|| value.clone(), Value::from)
        }
        Value::String(text) if !attribute.case_exact => Value::from(folded_text(text)),
        value => value.clone(),
    }
}

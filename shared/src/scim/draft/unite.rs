//! A value that stands in a list twice is there once (RFC 7643 §2.4: the same `type` and `value` should not be returned more
//! than once).
//!
//! Before it: `elements` and `finish`. After it: lists that say each thing once. Values are looked up by a key, so that it
//! costs no more than reading the list.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Map, Value, json};

use super::elements::is_primary;
use crate::scim::schema::{Attribute, DataType};
use crate::scim::{folded_instant, folded_text};

/// The values, each once and in their order. The first of the same ones stays, completed by what only the others say; it is
/// primary if one of them is.
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

/// What makes a value the one that it is: `value` and `type` where it has a `value`, else all but whether it is primary.
fn identity(attribute: &Attribute, element: &Value) -> String {
    let Value::Object(parts) = element else { return folded(attribute, element).to_string() };
    let part = |name: &str| {
        let value = parts.get(name)?;
        Some(attribute.sub_attribute(name).map_or_else(|| value.clone(), |sub| folded(sub, value)))
    };
    let identity = match part("value") {
        Some(value) => json!([value, part("type")]),
        None => {
            let told = parts.keys().filter(|name| *name != "primary");
            Value::Object(told.filter_map(|name| Some((name.clone(), part(name)?))).collect::<Map<_, _>>())
        }
    };
    identity.to_string()
}

/// The value as it is compared.
fn folded(attribute: &Attribute, value: &Value) -> Value {
    match value {
        Value::String(text) if attribute.data_type == DataType::DateTime => {
            folded_instant(text).map_or_else(|| value.clone(), Value::from)
        }
        Value::String(text) if !attribute.case_exact => Value::from(folded_text(text)),
        value => value.clone(),
    }
}

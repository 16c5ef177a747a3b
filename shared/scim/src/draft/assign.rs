//! Assigns to whole attributes and schemas (RFC 7644 §3.5.2.1, §3.5.2.3).

use serde_json::{Map, Value};

use super::{Draft, How, assign_sub, elements, remove};
use crate::error::Error;
use crate::json::{check_names, is_empty};
use crate::schema::{Attribute, DataType, Schema, Target};
use crate::value::lenient::says_nothing;
use crate::value::{alone, as_complex, check_count, coerce_elements, coerce_one, sub_values};

/// Assigns an object to a schema: each of its keys is an attribute. An empty value removes all attributes.
pub(super) fn schema(draft: &mut Draft<'_>, how: How, schema: &Schema, value: &Value) -> Result<(), Error> {
    match alone(value) {
        Value::Object(members) if !members.is_empty() => {
            check_names(&schema.id, members.keys())?;
            for (name, value) in members {
                draft.assign_named(how, &format!("{}:{name}", schema.id), value)?;
            }
            Ok(())
        }
        empty if is_empty(empty) => {
            draft.members.remove(&*schema.id);
            Ok(())
        }
        _ => Err(Error::invalid_value(format!("{} must be an object", schema.id))),
    }
}

/// Assigns a value to an attribute or sub-attribute.
pub(super) fn attribute(
    draft: &mut Draft<'_>,
    how: How,
    target: &Target<'_>,
    value: &Value,
) -> Result<(), Error> {
    match target.sub {
        Some(sub) if target.attribute.multi_valued => elements::assign_everywhere(draft, target, sub, value),
        Some(sub) => {
            let changes = [(sub, value)];
            let parent = Target { sub: None, ..*target };
            merge_complex(draft, &parent, &changes)
        }
        None if target.attribute.multi_valued => list(draft, how, target, value),
        None if target.attribute.data_type == DataType::Complex => complex(draft, target, value),
        None => match coerce_one(target.attribute, target, value)? {
            Some(value) => {
                draft.container(target.extension).insert(target.attribute.name.to_string(), value);
                Ok(())
            }
            // An attribute with a default cannot be unassigned: sent empty, it keeps its value.
            None if target.attribute.default.is_some() => Ok(()),
            None => remove::clear(draft, target),
        },
    }
}

/// Sub-attributes that an object does not name keep their values (RFC 7644 §3.5.2.3). A bare value replaces the whole
/// complex value, because the other sub-attributes described the old one.
fn complex(draft: &mut Draft<'_>, target: &Target<'_>, value: &Value) -> Result<(), Error> {
    let value = alone(value);
    if says_nothing(target.attribute, value) {
        return remove::clear(draft, target);
    }
    let given = as_complex(target.attribute, target, value)?;
    let changes = sub_values(target.attribute, target, &given)?;
    if !value.is_object() {
        remove::clear(draft, target)?;
    }
    merge_complex(draft, target, &changes)
}

fn merge_complex(
    draft: &mut Draft<'_>,
    target: &Target<'_>,
    changes: &[(&Attribute, &Value)],
) -> Result<(), Error> {
    let mut members = match draft.container(target.extension).remove(&*target.attribute.name) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    for (sub, value) in changes {
        assign_sub(&mut members, target, sub, value)?;
    }
    if !members.is_empty() {
        draft.container(target.extension).insert(target.attribute.name.to_string(), Value::Object(members));
    }
    Ok(())
}

fn list(draft: &mut Draft<'_>, how: How, target: &Target<'_>, value: &Value) -> Result<(), Error> {
    let given = coerce_elements(target.attribute, target, value)?;
    let elements = match how {
        How::Replace => given,
        How::Add => {
            let mut elements = elements::take(draft, target);
            draft.spend(given.len() * (elements.len() + given.len()))?;
            elements::add(target.attribute, &mut elements, given);
            check_count(target.attribute, target, elements.len())?;
            elements
        }
    };
    elements::put(draft, target, elements);
    Ok(())
}

//! The last step of every change: removes empty values, merges duplicates, updates `schemas` and validates the result.

use serde_json::{Map, Value};

use super::unite::{is_primary, united};
use crate::error::Error;
use crate::json::size;
use crate::schema::{Attribute, DataType, MAX_RESOURCE_SIZE, ResourceType};

/// The canonical members of a changed resource.
pub(super) fn canonical(
    resource_type: &ResourceType,
    mut members: Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    tidy("", &mut members, resource_type.core_attributes())?;
    for schema in &resource_type.extensions {
        let Some(Value::Object(values)) = members.get_mut(&*schema.id) else { continue };
        tidy(&format!("{}:", schema.id), values, schema.attributes.iter())?;
        if values.is_empty() {
            members.remove(&*schema.id);
        }
    }
    let schemas = resource_type.used_schemas(&members);
    members.insert("schemas".to_owned(), Value::Array(schemas));
    if let Some(size) = excessive_size(&members) {
        let detail =
            format!("the resource would hold {size} bytes, more than the {MAX_RESOURCE_SIZE} allowed");
        return Err(Error::payload_too_large(detail));
    }
    Ok(members)
}

/// The size of the text in the resource, if it exceeds the maximum.
pub(crate) fn excessive_size(members: &Map<String, Value>) -> Option<usize> {
    Some(members.values().map(size).sum()).filter(|size| *size > MAX_RESOURCE_SIZE)
}

/// Removes empty values of these attributes, merges duplicates, and validates the rest.
pub(crate) fn tidy<'a>(
    prefix: &str,
    members: &mut Map<String, Value>,
    attributes: impl Iterator<Item = &'a Attribute>,
) -> Result<(), Error> {
    let tidied =
        attributes.filter(|attribute| attribute.multi_valued || attribute.data_type == DataType::Complex);
    for attribute in tidied {
        let is_left = match members.get_mut(&*attribute.name) {
            None => continue,
            Some(Value::Array(elements)) => {
                elements.retain(|element| says_something(attribute, element));
                *elements = united(attribute, std::mem::take(elements));
                let lacks = |element: &Value| lacks_part(attribute, element.as_object()?);
                if let Some(part) = elements.iter().find_map(lacks) {
                    let detail = format!("{prefix}{}.{} is required", attribute.name, part.name);
                    return Err(Error::invalid_value(detail));
                }
                leave_one_primary(elements);
                !elements.is_empty()
            }
            Some(Value::Object(parts)) => !parts.is_empty(),
            Some(_) => true,
        };
        if !is_left {
            members.remove(&*attribute.name);
        }
    }
    Ok(())
}

/// Keeps only the first primary value (RFC 7643 §2.4: at most one).
fn leave_one_primary(elements: &mut [Value]) {
    for element in elements.iter_mut().filter(|element| is_primary(element)).skip(1) {
        element["primary"] = Value::Bool(false);
    }
}

/// Whether an element is a value at all. One without its required `value`, or with only `type` and `primary`, is not:
/// clients clear an address by sending an empty `value`.
pub(super) fn says_something(attribute: &Attribute, element: &Value) -> bool {
    let Value::Object(parts) = element else { return true };
    let is_label = |name: &String| matches!(name.as_str(), "type" | "primary");
    !parts.keys().all(is_label) && lacks_part(attribute, parts).is_none_or(|part| part.name != "value")
}

/// The first required part that a value lacks.
pub(super) fn lacks_part<'a>(attribute: &'a Attribute, parts: &Map<String, Value>) -> Option<&'a Attribute> {
    attribute.sub_attributes.iter().find(|sub| sub.required && is_blank(parts.get(&*sub.name)))
}

/// Whether the value is missing or blank text. Values that are not text are not blank.
pub(crate) fn is_blank(value: Option<&Value>) -> bool {
    match value {
        None => true,
        Some(value) => value.as_str().is_some_and(|text| text.trim().is_empty()),
    }
}

/// A required attribute without a value.
pub(crate) struct Missing {
    /// The canonical path of the top-level attribute.
    pub attribute: String,
    /// The path that lacks a value.
    pub path: String,
}

/// The first required attribute, in schema order, that the resource lacks. Extensions are optional, but one that is
/// present must be complete.
pub(crate) fn missing(resource_type: &ResourceType, members: &Map<String, Value>) -> Option<Missing> {
    lacking("", resource_type.core_attributes(), members).or_else(|| {
        resource_type.extensions.iter().find_map(|schema| {
            let Some(Value::Object(members)) = members.get(&*schema.id) else { return None };
            lacking(&format!("{}:", schema.id), schema.attributes.iter(), members)
        })
    })
}

/// The first of these attributes that is required and has no value, or whose value lacks a required part.
pub(crate) fn lacking<'a>(
    prefix: &str,
    mut attributes: impl Iterator<Item = &'a Attribute>,
    members: &Map<String, Value>,
) -> Option<Missing> {
    attributes.find_map(|attribute| {
        let name = &attribute.name;
        let path = match members.get(&**name) {
            Some(Value::Object(parts)) => missing_part(attribute, Some(parts)),
            _ if !attribute.required => None,
            Some(Value::Array(elements)) if !elements.is_empty() => None,
            Some(Value::Array(_)) | None if !attribute.multi_valued => missing_part(attribute, None),
            value => is_blank(value.filter(|value| !value.is_array())).then(|| name.to_string()),
        };
        path.map(|path| Missing { attribute: format!("{prefix}{name}"), path: format!("{prefix}{path}") })
    })
}

fn missing_part(attribute: &Attribute, parts: Option<&Map<String, Value>>) -> Option<String> {
    let missing = lacks_part(attribute, parts.unwrap_or(&Map::new()));
    match (missing, parts) {
        (Some(sub), _) => Some(format!("{}.{}", attribute.name, sub.name)),
        (None, None) => Some(attribute.name.to_string()),
        (None, Some(_)) => None,
    }
}

//! Replacing a resource (RFC 7644 §3.5.1): immutable attributes, and attributes that are kept although they were not
//! sent.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::schema::{Attribute, Mutability, ResourceType, Returned};

/// Adds the previous values that the client cannot have sent.
pub(super) fn add_unseen(
    resource_type: &ResourceType,
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
) {
    keep_unseen(resource_type.core_attributes(), before, after);
    for schema in &resource_type.extensions {
        let parts = (before.get(&*schema.id), after.get_mut(&*schema.id));
        if let (Some(Value::Object(before)), Some(Value::Object(after))) = parts {
            keep_unseen(schema.attributes.iter(), before, after);
        }
    }
    // Values under a schema that the tenant has removed.
    let is_unknown = |urn: &str| urn.contains(':') && !resource_type.has_schema(urn);
    for (urn, values) in before.iter().filter(|(urn, _)| is_unknown(urn)) {
        after.insert(urn.clone(), values.clone());
    }
}

/// Keeps unreturned attributes. Lists are skipped, because their old and new values cannot be matched.
fn keep_unseen<'a>(
    attributes: impl Iterator<Item = &'a Attribute>,
    before: &Map<String, Value>,
    after: &mut Map<String, Value>,
) {
    for attribute in attributes.filter(|attribute| attribute.stored) {
        let Some(old) = before.get(&*attribute.name) else { continue };
        match (old, after.get_mut(&*attribute.name)) {
            (Value::Object(old), Some(Value::Object(new))) => {
                keep_unseen(attribute.sub_attributes.iter(), old, new);
            }
            (old, None) if matches!(attribute.returned, Returned::Never | Returned::Request) => {
                after.insert(attribute.name.to_string(), old.clone());
            }
            _ => {}
        }
    }
}

/// Checks that the immutable attributes of the resource that were set are unchanged.
pub(super) fn check_all_immutable(
    resource_type: &ResourceType,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), Error> {
    check_immutable("", resource_type.core_attributes(), before, after)?;
    let none = Map::new();
    for schema in &resource_type.extensions {
        let Some(Value::Object(before)) = before.get(&*schema.id) else { continue };
        let after = after.get(&*schema.id).and_then(Value::as_object).unwrap_or(&none);
        check_immutable(&format!("{}:", schema.id), schema.attributes.iter(), before, after)?;
    }
    Ok(())
}

/// Checks these attributes, but not the parts of the values of a list: lists change by whole values, and `draft` rejects
/// changes of a part.
pub(crate) fn check_immutable<'a>(
    prefix: &str,
    attributes: impl Iterator<Item = &'a Attribute>,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<(), Error> {
    for attribute in attributes {
        let Some(old) = before.get(&*attribute.name) else { continue };
        let new = after.get(&*attribute.name);
        let path = format!("{prefix}{}", attribute.name);
        if attribute.mutability == Mutability::Immutable && new != Some(old) {
            return Err(Error::mutability(format!("{path} is immutable and already set")));
        }
        if let Value::Object(old) = old {
            let none = Map::new();
            let new = new.and_then(Value::as_object).unwrap_or(&none);
            check_immutable(&format!("{path}."), attribute.sub_attributes.iter(), old, new)?;
        }
    }
    Ok(())
}

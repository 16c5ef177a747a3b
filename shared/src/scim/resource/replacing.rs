//! One resource in the place of another (RFC 7644 §3.5.1): what must stay as it was, and what stays although it was not sent.
//!
//! Before it: a PUT or PATCH that has been read. After it: the resource that is kept.

use serde_json::{Map, Value};

use super::Resource;
use crate::scim::error::Error;
use crate::scim::schema::{Attribute, Mutability, ResourceType, Returned};

impl Resource {
    /// This resource in the place of what was, by a PUT. What clients are not shown unasked they cannot send again: it stays
    /// where they leave it out (RFC 7644 §3.5.1 lets only readWrite attributes be cleared so).
    ///
    /// # Errors
    /// 400 `mutability` that names an immutable attribute which was set and is not as it was.
    pub fn replacing(self, resource_type: &ResourceType, before: &Resource) -> Result<Self, Error> {
        let after = self.with_unseen(resource_type, before);
        after.check_immutable(resource_type, before)?;
        Ok(after)
    }

    /// This resource with what was and cannot have been sent.
    pub(in crate::scim) fn with_unseen(mut self, resource_type: &ResourceType, before: &Resource) -> Self {
        keep_unseen(resource_type.core_attributes(), &before.0, &mut self.0);
        for schema in &resource_type.extensions {
            let parts = (before.0.get(&*schema.id), self.0.get_mut(&*schema.id));
            if let (Some(Value::Object(before)), Some(Value::Object(after))) = parts {
                keep_unseen(schema.attributes.iter(), before, after);
            }
        }
        // Under a schema that the tenant has taken back.
        let is_unknown = |urn: &str| urn.contains(':') && !resource_type.has_schema(urn);
        for (urn, values) in before.0.iter().filter(|(urn, _)| is_unknown(urn)) {
            self.0.insert(urn.clone(), values.clone());
        }
        self
    }

    /// Checks that an immutable attribute that was set is as it was (RFC 7643 §7). Setting it for the first time is no
    /// change of it.
    ///
    /// # Errors
    /// 400 `mutability` that names the attribute.
    pub(in crate::scim) fn check_immutable(
        &self,
        resource_type: &ResourceType,
        before: &Resource,
    ) -> Result<(), Error> {
        check_immutable("", resource_type.core_attributes(), &before.0, &self.0)?;
        let none = Map::new();
        for schema in &resource_type.extensions {
            let Some(Value::Object(before)) = before.0.get(&*schema.id) else { continue };
            let after = self.0.get(&*schema.id).and_then(Value::as_object).unwrap_or(&none);
            check_immutable(&format!("{}:", schema.id), schema.attributes.iter(), before, after)?;
        }
        Ok(())
    }
}

/// In lists there is no telling which value was which.
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

/// Parts of the values of a list are not looked at: a list changes by whole values, and `draft` refuses to change a part.
pub(in crate::scim) fn check_immutable<'a>(
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
            return Err(Error::mutability(format!("{path} is immutable: it is set already")));
        }
        if let Value::Object(old) = old {
            let none = Map::new();
            let new = new.and_then(Value::as_object).unwrap_or(&none);
            check_immutable(&format!("{path}."), attribute.sub_attributes.iter(), old, new)?;
        }
    }
    Ok(())
}

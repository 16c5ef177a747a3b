//! Replacing a resource (RFC 7644 §3.5.1): immutable attributes, and attributes that are kept although they were not
//! sent.

use serde_json::{Map, Value};

use super::Resource;
use crate::error::Error;
use crate::schema::{Attribute, Mutability, ResourceType, Returned};

impl Resource {
    /// Replaces the previous resource by a PUT. Attributes that are not returned by default cannot be sent back by
    /// clients, so they are kept if omitted (RFC 7644 §3.5.1 allows only readWrite attributes to be cleared by
    /// omission).
    ///
    /// # Errors
    /// 400 `mutability`, naming an immutable attribute that was set and has changed.
    pub fn replacing(self, resource_type: &ResourceType, before: &Resource) -> Result<Self, Error> {
        let after = self.with_unseen(resource_type, before);
        after.check_immutable(resource_type, before)?;
        Ok(after)
    }

    /// Adds the previous values that the client cannot have sent.
    pub(crate) fn with_unseen(mut self, resource_type: &ResourceType, before: &Resource) -> Self {
        keep_unseen(resource_type.core_attributes(), &before.0, &mut self.0);
        for schema in &resource_type.extensions {
            let parts = (before.0.get(&*schema.id), self.0.get_mut(&*schema.id));
            if let (Some(Value::Object(before)), Some(Value::Object(after))) = parts {
                keep_unseen(schema.attributes.iter(), before, after);
            }
        }
        // Values under a schema that the tenant has removed.
        let is_unknown = |urn: &str| urn.contains(':') && !resource_type.has_schema(urn);
        for (urn, values) in before.0.iter().filter(|(urn, _)| is_unknown(urn)) {
            self.0.insert(urn.clone(), values.clone());
        }
        self
    }

    /// Checks that immutable attributes that were set are unchanged (RFC 7643 §7). Setting one for the first time is
    /// allowed.
    ///
    /// # Errors
    /// 400 `mutability`, naming the attribute.
    pub(crate) fn check_immutable(
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

/// Does not check parts of the values of a list: lists change by whole values, and `draft` rejects changes of a part.
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

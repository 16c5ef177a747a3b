//! Removes attributes and values (RFC 7644 §3.5.2.2): the target of a path, the values that a filter selects, or listed
//! values.

use serde_json::Value;

use super::elements::members_of;
use super::equality::{contains, is_equal_part};
use super::{Draft, is_read_only};
use crate::error::Error;
use crate::schema::{Attribute, Mutability, Resolved, Target};
use crate::syntax::{Filter, Path};
use crate::value::{coerce_elements, lenient};

impl<'a> Draft<'a> {
    /// Removes the target of a path, or only the listed values of it (RFC 7644 §3.5.2.2). Removing a value that does
    /// not exist changes nothing.
    pub(crate) fn remove(&mut self, path: &Path, listed: Option<&Value>) -> Result<(), Error> {
        let Some(target) = self.resolve(path)? else {
            self.ignored.push(path.shown());
            return Ok(());
        };
        let target = match target {
            Resolved::Schema(schema) if schema.id == self.resource_type.schema.id => {
                return Err(Error::mutability(format!(
                    "{} cannot be removed: it has required attributes",
                    schema.id
                )));
            }
            Resolved::Schema(schema) => {
                self.members.remove(&*schema.id);
                return Ok(());
            }
            Resolved::Attribute(target) if is_read_only(&target) => {
                return Err(Error::mutability(format!("{target} is readOnly")));
            }
            Resolved::Attribute(target) if !target.attribute.stored => return Ok(()),
            Resolved::Attribute(target) if is_fixed_part(&target) => {
                return Err(Error::mutability(format!("{target} is immutable")));
            }
            Resolved::Attribute(target) => target,
        };
        match (&path.filter, lenient::listed(listed)) {
            (Some(filter), _) => self.remove_selected(&target, filter),
            (None, Some(listed)) if target.leaf().multi_valued => self.remove_listed(&target, listed),
            (None, _) => self.clear(&target),
        }
    }

    /// Removes the values that satisfy the filter, or the sub-attribute from them.
    fn remove_selected(&mut self, target: &Target<'a>, filter: &Filter) -> Result<(), Error> {
        let mut elements = self.take_elements(target);
        let chosen = self.select(target.attribute, &elements, filter)?;
        for &position in chosen.iter().rev() {
            match target.sub {
                Some(sub) => {
                    members_of(&mut elements[position]).remove(&*sub.name);
                }
                None => {
                    elements.remove(position);
                }
            }
        }
        self.put_elements(target, elements);
        Ok(())
    }

    /// Removes only the listed values. They are matched by `value` (and `type`, if given), or by all listed parts.
    fn remove_listed(&mut self, target: &Target<'a>, listed: &Value) -> Result<(), Error> {
        let listed = coerce_elements(target.attribute, target, listed)?;
        let mut elements = self.take_elements(target);
        self.spend(elements.len() * listed.len())?;
        elements.retain(|element| !listed.iter().any(|listed| is_meant(target.attribute, element, listed)));
        self.put_elements(target, elements);
        Ok(())
    }

    /// Unassigns an attribute or sub-attribute.
    pub(super) fn clear(&mut self, target: &Target<'a>) -> Result<(), Error> {
        if target.leaf().default.is_some() {
            return Err(Error::mutability(format!("{target} cannot be removed: it always has a value")));
        }
        let container = self.container(target.extension);
        match (target.sub, container.get_mut(&*target.attribute.name)) {
            (None, _) => {
                container.remove(&*target.attribute.name);
            }
            (Some(sub), Some(Value::Object(members))) => {
                members.remove(&*sub.name);
            }
            (Some(sub), Some(Value::Array(elements))) => {
                for members in elements.iter_mut().filter_map(Value::as_object_mut) {
                    members.remove(&*sub.name);
                }
            }
            (Some(_), _) => {}
        }
        Ok(())
    }
}

/// Whether the target is an immutable sub-attribute of a multi-valued attribute.
fn is_fixed_part(target: &Target<'_>) -> bool {
    let is_immutable = |sub: &Attribute| sub.mutability == Mutability::Immutable;
    target.attribute.multi_valued && target.sub.is_some_and(is_immutable)
}

/// Whether the existing value is one that the listed value identifies.
fn is_meant(attribute: &Attribute, existing: &Value, listed: &Value) -> bool {
    match listed.get("value") {
        Some(_) => {
            is_equal_part(attribute, "value", existing, listed)
                && (listed.get("type").is_none() || is_equal_part(attribute, "type", existing, listed))
        }
        None => contains(attribute, existing, listed),
    }
}

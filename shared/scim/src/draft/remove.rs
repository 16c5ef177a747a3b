//! Removes attributes and values (RFC 7644 §3.5.2.2): the target of a path, the values that a filter selects, or listed
//! values.

use serde_json::Value;

use super::elements::{members_of, put, select, take};
use super::equality::{contains, is_equal_part};
use super::{Draft, is_read_only};
use crate::error::Error;
use crate::schema::{Attribute, Mutability, Resolved, Target};
use crate::syntax::{Filter, Path};
use crate::value::{coerce_elements, lenient};

/// Removes the target of a path, or only the listed values of it.
pub(super) fn at(draft: &mut Draft<'_>, path: &Path, listed: Option<&Value>) -> Result<(), Error> {
    let Some(target) = draft.resolve(path)? else {
        draft.ignored.push(path.shown());
        return Ok(());
    };
    let target = match target {
        Resolved::Schema(schema) if schema.id == draft.resource_type.schema.id => {
            return Err(Error::mutability(format!(
                "{} cannot be removed: it has required attributes",
                schema.id
            )));
        }
        Resolved::Schema(schema) => {
            draft.members.remove(&*schema.id);
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
        (Some(filter), _) => remove_selected(draft, &target, filter),
        (None, Some(listed)) if target.leaf().multi_valued => remove_listed(draft, &target, listed),
        (None, _) => clear(draft, &target),
    }
}

/// Removes the values that satisfy the filter, or the sub-attribute from them.
fn remove_selected(draft: &mut Draft<'_>, target: &Target<'_>, filter: &Filter) -> Result<(), Error> {
    let mut elements = take(draft, target);
    let chosen = select(draft, target.attribute, &elements, filter)?;
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
    put(draft, target, elements);
    Ok(())
}

/// Removes only the listed values. They are matched by `value` (and `type`, if given), or by all listed parts.
fn remove_listed(draft: &mut Draft<'_>, target: &Target<'_>, listed: &Value) -> Result<(), Error> {
    let listed = coerce_elements(target.attribute, target, listed)?;
    let mut elements = take(draft, target);
    draft.spend(elements.len() * listed.len())?;
    elements.retain(|element| !listed.iter().any(|listed| is_meant(target.attribute, element, listed)));
    put(draft, target, elements);
    Ok(())
}

/// Unassigns an attribute or sub-attribute.
pub(super) fn clear(draft: &mut Draft<'_>, target: &Target<'_>) -> Result<(), Error> {
    if target.leaf().default.is_some() {
        return Err(Error::mutability(format!("{target} cannot be removed: it always has a value")));
    }
    let container = draft.container(target.extension);
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

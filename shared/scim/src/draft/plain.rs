//! Changes to lists of simple values by a value filter: `tags[value eq "2"]`. RFC 7644 §3.5.2 defines value filters
//! only for complex values; Entra ID uses `value` for the values of simple lists too.

use serde_json::Value;

use super::elements::{put, take_selected};
use super::{Draft, How, Target};
use crate::error::Error;
use crate::syntax::Filter;
use crate::value::{alone, check_count, coerce_one};

/// Replaces the selected values; an empty value removes them. If the filter selects nothing, adding a value that
/// satisfies it appends the value (RFC 7644 §3.5.2.1), and a replace has no target (§3.5.2.3).
pub(super) fn assign_selected(
    draft: &mut Draft<'_>,
    how: How,
    target: &Target<'_>,
    filter: &Filter,
    value: &Value,
) -> Result<(), Error> {
    let attribute = target.attribute;
    let (mut elements, chosen) = take_selected(draft, target, filter, value)?;
    match coerce_one(attribute, target, alone(value))? {
        None if how == How::Add => {}
        None => chosen.iter().rev().for_each(|&position| drop(elements.remove(position))),
        Some(new) if chosen.is_empty() => {
            if how == How::Replace || !filter.matches_element(attribute, &new)? {
                return Err(Error::no_target(format!("no value of {target} matches the filter")));
            }
            elements.push(new);
            check_count(attribute, target, elements.len())?;
        }
        Some(new) => chosen.iter().for_each(|&position| elements[position].clone_from(&new)),
    }
    put(draft, target, elements);
    Ok(())
}

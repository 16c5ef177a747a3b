//! Assigns to multi-valued attributes (RFC 7644 §3.5.2; RFC 7643 §2.4): by a value filter, to every value, or by adding
//! values. At most one value of a list is `primary`: setting it on a new value clears it on the old one (RFC 7644
//! §3.5.2).

use std::fmt::Display;

use serde_json::{Map, Value};

use super::equality::{contains, is_same};
use super::finish::{lacks_part, says_something};
use super::unite::{is_primary, united};
use super::{Draft, How, Target, assign_sub};
use crate::error::Error;
use crate::json::{is_empty, size};
use crate::schema::Attribute;
use crate::syntax::Filter;
use crate::syntax::lenient;
use crate::value::{alone, as_complex, check_count, coerce_one, sub_values};

/// `emails[type eq "work"]` and `emails[type eq "work"].value`.
pub(super) fn assign_selected(
    draft: &mut Draft<'_>,
    how: How,
    target: &Target<'_>,
    filter: &Filter,
    value: &Value,
) -> Result<(), Error> {
    let (mut elements, mut chosen) = take_selected(draft, target, filter, value)?;
    let parent = Target { sub: None, ..*target };
    match (target.sub, how) {
        _ if chosen.is_empty() => {
            chosen = append_by_filter(how, target, filter, value, &mut elements)?;
        }
        (Some(sub), _) => {
            for &position in &chosen {
                assign_sub(members_of(&mut elements[position]), &parent, sub, value)?;
            }
        }
        (None, How::Add) => {
            for &position in &chosen {
                merge_element(members_of(&mut elements[position]), target.attribute, &parent, value)?;
            }
        }
        (None, How::Replace) => {
            let members = replacement(target.attribute, &parent, filter, value)?;
            // A value that lacks a required part cannot replace the old one: merge it into the old one.
            let is_part = !members.is_empty() && lacks_part(target.attribute, &members).is_some();
            for &position in &chosen {
                let old = members_of(&mut elements[position]);
                if is_part { old.extend(members.clone()) } else { old.clone_from(&members) }
            }
        }
    }
    unseat(target.attribute, &mut elements, &chosen);
    put(draft, target, elements);
    Ok(())
}

/// `emails.value`, without a filter: assigned to every value, or to a new one if the list is empty.
pub(super) fn assign_everywhere(
    draft: &mut Draft<'_>,
    target: &Target<'_>,
    sub: &Attribute,
    value: &Value,
) -> Result<(), Error> {
    let parent = Target { sub: None, ..*target };
    let mut elements = take(draft, target);
    spend_writing(draft, elements.len(), value)?;
    if elements.is_empty() {
        elements.push(Value::Object(Map::new()));
    }
    for element in &mut elements {
        assign_sub(members_of(element), &parent, sub, value)?;
    }
    put(draft, target, elements);
    Ok(())
}

/// The values of a list, and the positions of those that satisfy the filter and will be written.
pub(super) fn take_selected(
    draft: &mut Draft<'_>,
    target: &Target<'_>,
    filter: &Filter,
    value: &Value,
) -> Result<(Vec<Value>, Vec<usize>), Error> {
    let elements = take(draft, target);
    let chosen = select(draft, target.attribute, &elements, filter)?;
    spend_writing(draft, chosen.len(), value)?;
    Ok((elements, chosen))
}

/// The positions of the values that satisfy the filter.
pub(super) fn select(
    draft: &mut Draft<'_>,
    attribute: &Attribute,
    elements: &[Value],
    filter: &Filter,
) -> Result<Vec<usize>, Error> {
    let text: usize = elements.iter().map(size).sum();
    let (terms, literals) = filter.cost();
    draft.spend(terms * (elements.len() + text / 16) + elements.len() * (literals / 16))?;
    // Evaluate once against null, so that an invalid filter is an error even if the list is empty.
    filter.matches_element(attribute, &Value::Null)?;
    let mut chosen = Vec::new();
    for (position, element) in elements.iter().enumerate() {
        if filter.matches_element(attribute, element)? {
            chosen.push(position);
        }
    }
    Ok(chosen)
}

/// Accounts for writing a value several times.
fn spend_writing(draft: &mut Draft<'_>, times: usize, value: &Value) -> Result<(), Error> {
    draft.spend(times * (1 + size(value) / 16))
}

/// Takes the values of a list.
pub(super) fn take(draft: &mut Draft<'_>, target: &Target<'_>) -> Vec<Value> {
    match draft.container(target.extension).remove(&*target.attribute.name) {
        Some(Value::Array(elements)) => elements,
        Some(single) => vec![single],
        None => Vec::new(),
    }
}

/// Puts the values of a list back; an empty list is absent.
pub(super) fn put(draft: &mut Draft<'_>, target: &Target<'_>, elements: Vec<Value>) {
    let name = &target.attribute.name;
    let container = draft.container(target.extension);
    if elements.is_empty() {
        container.remove(&**name);
    } else {
        container.insert(name.to_string(), Value::Array(elements));
    }
}

/// Appends new values. A value with the same `value` and `type` as an existing one is merged into it (RFC 7643 §2.4
/// does not want such a pair twice). A value that an existing one contains changes nothing.
pub(super) fn add(attribute: &Attribute, elements: &mut Vec<Value>, given: Vec<Value>) {
    let mut primaries = Vec::new();
    for element in united(attribute, given) {
        let is_primary = is_primary(&element);
        let position = match elements.iter().position(|existing| contains(attribute, existing, &element)) {
            Some(position) => position,
            None => match elements.iter().position(|existing| is_same(attribute, existing, &element)) {
                Some(position) => {
                    complete(&mut elements[position], element);
                    position
                }
                None => {
                    elements.push(element);
                    elements.len() - 1
                }
            },
        };
        if is_primary {
            primaries.push(position);
        }
    }
    // If several are primary, the first wins.
    let first = primaries.into_iter().find(|&position| says_something(attribute, &elements[position]));
    unseat(attribute, elements, first.as_slice());
}

fn complete(existing: &mut Value, element: Value) {
    match (existing, element) {
        (Value::Object(existing), Value::Object(element)) => existing.extend(element),
        (existing, element) => *existing = element,
    }
}

/// Handles a filter that selects nothing: creates the value that it describes. A replace of a whole value, or one that
/// filters by `value`, requires an existing value: 400 `noTarget` (RFC 7644 §3.5.2.3).
fn append_by_filter(
    how: How,
    target: &Target<'_>,
    filter: &Filter,
    value: &Value,
    elements: &mut Vec<Value>,
) -> Result<Vec<usize>, Error> {
    let attribute = target.attribute;
    let path = Target { sub: None, ..*target };
    let no_target = || Error::no_target(format!("no value of {path} matches the filter"));
    let terms = lenient::described(filter).ok_or_else(no_target)?;
    let names_value = terms.iter().any(|(name, _)| name.eq_ignore_ascii_case("value"));
    if how == How::Replace && (target.sub.is_none() || names_value) {
        return Err(no_target());
    }
    if is_empty(alone(value)) {
        return Ok(Vec::new());
    }
    let mut members = described(attribute, &terms);
    match target.sub {
        Some(sub) => assign_sub(&mut members, &path, sub, value)?,
        None => merge_element(&mut members, attribute, &path, value)?,
    }
    let element = coerce_one(attribute, &path, &Value::Object(members))?.ok_or_else(no_target)?;
    // A value that does not satisfy its own filter would be created again by each repetition.
    if !filter.matches_element(attribute, &element)? {
        return Err(no_target());
    }
    elements.push(element);
    check_count(attribute, &path, elements.len())?;
    Ok(vec![elements.len() - 1])
}

fn described(attribute: &Attribute, terms: &[(&str, &Value)]) -> Map<String, Value> {
    let known = |&(name, value): &(&str, &Value)| {
        attribute.sub_attribute(name).map(|sub| (sub.name.to_string(), value.clone()))
    };
    terms.iter().filter_map(known).collect()
}

/// The replacement of a selected value: the new value, completed with what the filter requires.
fn replacement(
    attribute: &Attribute,
    path: &dyn Display,
    filter: &Filter,
    value: &Value,
) -> Result<Map<String, Value>, Error> {
    if is_empty(alone(value)) {
        return Ok(Map::new());
    }
    let mut members = described(attribute, &lenient::described(filter).unwrap_or_default());
    merge_element(&mut members, attribute, path, value)?;
    match coerce_one(attribute, path, &Value::Object(members))? {
        Some(Value::Object(members)) => Ok(members),
        _ => Ok(Map::new()),
    }
}

fn merge_element(
    members: &mut Map<String, Value>,
    attribute: &Attribute,
    path: &dyn Display,
    value: &Value,
) -> Result<(), Error> {
    let given = as_complex(attribute, path, alone(value))?;
    for (sub, value) in sub_values(attribute, path, &given)? {
        assign_sub(members, path, sub, value)?;
    }
    Ok(())
}

/// The members of a value of a list. Stored values of complex attributes are always objects.
pub(super) fn members_of(element: &mut Value) -> &mut Map<String, Value> {
    if !element.is_object() {
        *element = Value::Object(Map::new());
    }
    element.as_object_mut().expect("any other value was replaced by an object above")
}

/// Clears `primary` on the other values if one of the winners is primary (RFC 7644 §3.5.2). A winner without a value
/// yet (Entra ID sends `primary` before `value`) has no effect until it has one.
fn unseat(attribute: &Attribute, elements: &mut [Value], winners: &[usize]) {
    let wins = |element: &Value| is_primary(element) && says_something(attribute, element);
    if !winners.iter().any(|&position| elements.get(position).is_some_and(wins)) {
        return;
    }
    for (position, element) in elements.iter_mut().enumerate() {
        if is_primary(element) && !winners.contains(&position) {
            members_of(element).insert("primary".to_owned(), Value::Bool(false));
        }
    }
}

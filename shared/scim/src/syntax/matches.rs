//! In-memory evaluation of filters (RFC 7644 §3.4.2.2), for PATCH and for lists that no index serves.
//!
//! The meaning of a comparison depends on the attribute's definition: its type and caseExact. An invalid filter is an
//! error whatever the data, so that it never silently selects everything or nothing.

use std::cmp::Ordering;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{AttrPath, CompareOp, Filter, ValuePath};
use crate::case::{folded, letters};
use crate::error::{Error, echo};
use crate::json::is_empty;
use crate::schema::{Attribute, DataType, Resolved, ResourceType};
use crate::value::as_boolean;
use crate::value::lenient;

/// The value to which the filter's paths are relative.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Resource(&'a ResourceType),
    Element(&'a Attribute),
}

/// The definition of the compared attribute, and its values.
type Found<'a, 'v> = (&'a Attribute, Vec<&'v Value>);

/// Whether the resource satisfies the filter.
pub(super) fn resource(
    filter: &Filter,
    resource_type: &ResourceType,
    resource: &Value,
) -> Result<bool, Error> {
    holds(filter, Scope::Resource(resource_type), resource)
}

/// Whether one value of a multi-valued attribute satisfies the filter.
pub(super) fn element(filter: &Filter, attribute: &Attribute, element: &Value) -> Result<bool, Error> {
    holds(filter, Scope::Element(attribute), element)
}

/// Evaluates both sides of `and` and `or`, so that errors on either side are found.
fn holds(filter: &Filter, scope: Scope<'_>, value: &Value) -> Result<bool, Error> {
    match filter {
        Filter::And(items) => items.iter().try_fold(true, |all, item| Ok(holds(item, scope, value)? && all)),
        Filter::Or(items) => items.iter().try_fold(false, |any, item| Ok(holds(item, scope, value)? || any)),
        Filter::Not(inner) => Ok(!holds(inner, scope, value)?),
        Filter::Present(path) => Ok(find(scope, path, value)?.1.iter().any(|found| !is_empty(found))),
        Filter::Compare { path, op, value: literal } => {
            let (attribute, found) = find(scope, path, value)?;
            let (attribute, found) = significant(attribute, found, path)?;
            compare(attribute, path, *op, literal, &found)
        }
        Filter::ValuePath(value_path) => one_element(scope, value_path, value),
    }
}

fn one_element(scope: Scope<'_>, value_path: &ValuePath, value: &Value) -> Result<bool, Error> {
    let (attribute, found) = find(scope, &value_path.path, value)?;
    if attribute.data_type != DataType::Complex && !attribute.is_plain_list() {
        return Err(unsupported(&value_path.path, "does not support a value filter"));
    }
    // Evaluate once against null, to report errors.
    let satisfies = |value: &Value| element(&value_path.filter, attribute, value);
    satisfies(&Value::Null)?;
    found.into_iter().try_fold(false, |any, value| Ok(any || satisfies(value)?))
}

/// The attribute's definition and its values; a multi-valued attribute has several.
fn find<'a, 'v>(scope: Scope<'a>, path: &AttrPath, value: &'v Value) -> Result<Found<'a, 'v>, Error> {
    let unknown = || unsupported(path, "is not an attribute");
    match scope {
        Scope::Element(parent) if parent.is_own_value(path.as_str()) => {
            let found = if value.is_null() { Vec::new() } else { vec![value] };
            Ok((filterable(parent, path)?, found))
        }
        Scope::Element(parent) => {
            let attribute = filterable(parent.sub_attribute(path.as_str()).ok_or_else(unknown)?, path)?;
            Ok((attribute, member(value.as_object(), &attribute.name)))
        }
        Scope::Resource(resource_type) => {
            let Some(Resolved::Attribute(target)) = resource_type.resolve(path.as_str()) else {
                return Err(unknown());
            };
            filterable(target.attribute, path)?;
            filterable(target.leaf(), path)?;
            let container = match target.extension {
                Some(schema) => value.get(&*schema.id),
                None => Some(value),
            };
            let found = member(container.and_then(Value::as_object), &target.attribute.name);
            Ok(match target.sub {
                None => (target.attribute, found),
                Some(sub) => (
                    sub,
                    found.into_iter().flat_map(|element| member(element.as_object(), &sub.name)).collect(),
                ),
            })
        }
    }
}

/// Rejects attributes that are not stored, and those that are never returned, whose values a filter would reveal.
fn filterable<'a>(attribute: &'a Attribute, path: &AttrPath) -> Result<&'a Attribute, Error> {
    if attribute.is_filterable() {
        Ok(attribute)
    } else {
        Err(unsupported(path, "cannot be used in a filter"))
    }
}

fn member<'v>(container: Option<&'v Map<String, Value>>, name: &str) -> Vec<&'v Value> {
    match container.and_then(|members| members.get(name)) {
        Some(Value::Array(elements)) => elements.iter().collect(),
        Some(value) => vec![value],
        None => Vec::new(),
    }
}

/// Resolves a complex attribute to its `value`: `emails co "x"` is short for `emails.value co "x"`.
fn significant<'a, 'v>(
    attribute: &'a Attribute,
    found: Vec<&'v Value>,
    path: &AttrPath,
) -> Result<Found<'a, 'v>, Error> {
    if attribute.data_type != DataType::Complex {
        return Ok((attribute, found));
    }
    let value = lenient::compared_part(attribute)
        .ok_or_else(|| unsupported(path, "is complex; compare one of its sub-attributes"))?;
    filterable(value, path)?;
    Ok((value, found.into_iter().flat_map(|element| member(element.as_object(), &value.name)).collect()))
}

/// Whether one of the values satisfies the comparison. `ne` also matches an attribute without a value.
fn compare(
    attribute: &Attribute,
    path: &AttrPath,
    op: CompareOp,
    literal: &Value,
    found: &[&Value],
) -> Result<bool, Error> {
    let found: Vec<&Value> = found.iter().copied().filter(|value| !is_empty(value)).collect();
    if literal.is_null() {
        return match op {
            CompareOp::Equal => Ok(found.is_empty()),
            CompareOp::NotEqual => Ok(!found.is_empty()),
            _ => Err(unsupported(path, "supports only eq and ne with null")),
        };
    }
    let literal = lenient::compared(attribute, literal);
    let literal = Operand::literal(attribute, op, &literal)
        .ok_or_else(|| unsupported(path, "does not support this operator or literal"))?;
    if found.is_empty() {
        return Ok(op == CompareOp::NotEqual);
    }
    let compares =
        |value: &&Value| Operand::stored(attribute, value).is_some_and(|value| value.compares(op, &literal));
    Ok(found.iter().any(compares))
}

/// A value in the form in which its type is compared.
enum Operand<'v> {
    Exact(&'v str),
    Text(&'v str),
    Boolean(bool),
    Number(f64),
    Instant(OffsetDateTime),
}

impl<'v> Operand<'v> {
    /// `None` if the type does not support the operator, or if the literal has the wrong type. RFC 7644 §3.4.2.2
    /// defines no order on boolean and binary. A dateTime is compared as an instant, so it supports no substring
    /// operators.
    fn literal(attribute: &Attribute, op: CompareOp, literal: &'v Value) -> Option<Self> {
        let is_order = matches!(
            op,
            CompareOp::Greater | CompareOp::GreaterOrEqual | CompareOp::Less | CompareOp::LessOrEqual
        );
        let is_equality = matches!(op, CompareOp::Equal | CompareOp::NotEqual);
        let exists = match attribute.data_type {
            DataType::Boolean => is_equality,
            DataType::Binary => !is_order,
            DataType::Decimal | DataType::Integer | DataType::DateTime => is_order || is_equality,
            DataType::String | DataType::Reference => true,
            DataType::Complex => false,
        };
        if exists { Self::stored(attribute, literal) } else { None }
    }

    fn stored(attribute: &Attribute, value: &'v Value) -> Option<Self> {
        match attribute.data_type {
            DataType::Boolean => as_boolean(value).map(Operand::Boolean),
            DataType::Decimal | DataType::Integer => value.as_f64().map(Operand::Number),
            DataType::DateTime => lenient::instant(value.as_str()?).map(Operand::Instant),
            DataType::Complex => None,
            _ if attribute.case_exact => value.as_str().map(Operand::Exact),
            _ => value.as_str().map(Operand::Text),
        }
    }

    fn compares(&self, op: CompareOp, literal: &Operand<'_>) -> bool {
        match (self, literal) {
            (Operand::Exact(value), Operand::Exact(literal)) => match op {
                CompareOp::Contains => value.contains(literal),
                CompareOp::StartsWith => value.starts_with(literal),
                CompareOp::EndsWith => value.ends_with(literal),
                op => is_in_order(op, value.partial_cmp(literal)),
            },
            (Operand::Text(value), Operand::Text(literal)) => match op {
                CompareOp::Contains => folded(value).contains(&folded(literal)),
                CompareOp::StartsWith => {
                    let mut value = letters(value);
                    letters(literal).all(|c| value.next() == Some(c))
                }
                CompareOp::EndsWith => folded(value).ends_with(&folded(literal)),
                op => is_in_order(op, Some(letters(value).cmp(letters(literal)))),
            },
            (Operand::Boolean(value), Operand::Boolean(literal)) => {
                is_in_order(op, value.partial_cmp(literal))
            }
            (Operand::Number(value), Operand::Number(literal)) => is_in_order(op, value.partial_cmp(literal)),
            (Operand::Instant(value), Operand::Instant(literal)) => {
                is_in_order(op, value.partial_cmp(literal))
            }
            _ => false,
        }
    }
}

fn is_in_order(op: CompareOp, ordering: Option<Ordering>) -> bool {
    let Some(ordering) = ordering else { return false };
    match op {
        CompareOp::Equal => ordering.is_eq(),
        CompareOp::NotEqual => ordering.is_ne(),
        CompareOp::Greater => ordering.is_gt(),
        CompareOp::GreaterOrEqual => ordering.is_ge(),
        CompareOp::Less => ordering.is_lt(),
        CompareOp::LessOrEqual => ordering.is_le(),
        CompareOp::Contains | CompareOp::StartsWith | CompareOp::EndsWith => false,
    }
}

fn unsupported(path: &AttrPath, why: &str) -> Error {
    Error::invalid_filter(format!("the filter is not supported: {} {why}", echo(path.as_str())))
}

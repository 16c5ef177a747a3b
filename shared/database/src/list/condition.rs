//! A filter as a condition on `r` (RFC 7644 §3.4.2.2), with the same meaning as in `Filter::matches`.
//!
//! A condition is null where Postgres has nothing to compare. Null counts as false, which `and` and `or` preserve;
//! `not` is written `is not true`.

mod compare;

use serde_json::{Map, Value, json};

pub(super) use self::compare::is;
use self::compare::sign;
use super::field::{Field, Finder, Json, Scope};
use super::literal::{Literal, in_microseconds};
use super::sql::{self, Sql};
use scim::compared_part;
use scim::schema::Attribute;
use scim::syntax::{CompareOp, Filter, ValuePath};

/// Values that are present (RFC 7643 §2.5: null, "" and values without parts are not).
const PRESENT: &str = "@.type() == \"boolean\" || @.type() == \"number\" || \
    (@.type() == \"string\" && @ != \"\") || exists(@.*)";

/// Conditions that never and always hold.
const NEVER: &str = "false";
const ALWAYS: &str = "true";

/// The condition of a filter. An invalid part never holds; `Filter::matches` has rejected it before.
pub(super) fn of<'a>(finder: Finder<'a>, filter: &Filter, scope: &Scope<'a>) -> Sql {
    match filter {
        Filter::And(items) => {
            let parts = all_of(finder, items, scope);
            let is_narrow = parts.iter().any(Sql::is_narrow);
            joined(parts, " and ").narrow_if(is_narrow)
        }
        Filter::Or(items) => {
            let parts = all_of(finder, items, scope);
            let is_narrow = parts.iter().all(Sql::is_narrow);
            joined(parts, " or ").narrow_if(is_narrow)
        }
        Filter::Not(inner) => Sql::fill("((?) is not true)", [of(finder, inner, scope)]),
        Filter::Present(path) => {
            finder.find(scope, path).map_or(NEVER.into(), |(_, field)| present(finder, field))
        }
        Filter::ValuePath(path) => value_path(finder, path, scope),
        Filter::Compare { path, op, value } => {
            let Some((attribute, field)) = finder.find(scope, path) else { return NEVER.into() };
            let (attribute, field) = match (compared_part(attribute), field) {
                (Some(value), Field::Json(json)) => (value, Field::Json(json.then(&["value"]))),
                (Some(value), field) => (value, field),
                (None, field) => (attribute, field),
            };
            match value {
                Value::Null if *op == CompareOp::Equal => {
                    Sql::fill("((?) is not true)", [present(finder, field)])
                }
                Value::Null => present(finder, field),
                value => match Literal::new(attribute, value) {
                    Some(literal) => comparison(finder, field, *op, literal),
                    None => NEVER.into(),
                },
            }
        }
    }
}

fn all_of<'a>(finder: Finder<'a>, items: &[Filter], scope: &Scope<'a>) -> Vec<Sql> {
    items.iter().map(|item| of(finder, item, scope)).collect()
}

fn joined(parts: Vec<Sql>, word: &'static str) -> Sql {
    Sql::fill("(?)", [Sql::join(parts, word)])
}

fn present(finder: Finder<'_>, field: Field) -> Sql {
    match field {
        Field::Nothing => NEVER.into(),
        Field::Always | Field::Instant(_) => ALWAYS.into(),
        Field::Text(column) => Sql::fill("(? is not null)", [column.text]),
        Field::Json(json) => compare::exists(&json, PRESENT, Map::new()),
        Field::Memberships(_) => some_membership(finder, ALWAYS.into()),
    }
}

/// `ne` also holds for an absent value.
fn comparison(finder: Finder<'_>, field: Field, op: CompareOp, literal: Literal) -> Sql {
    match (field, literal) {
        (Field::Instant(column), Literal::Instant(instant, _)) => match in_microseconds(op, instant) {
            Some((op, instant)) => {
                Sql::fill("(? ? ?)", [column.into(), sign(op).into(), sql::instant(instant)])
            }
            None if op == CompareOp::NotEqual => ALWAYS.into(),
            None => NEVER.into(),
        },
        (Field::Text(column), Literal::Text(text)) => compare::column(column, op, &text),
        (Field::Memberships(Some(part)), Literal::Text(text)) => {
            let is_lookup = op == CompareOp::Equal && part.is_indexed;
            let found = some_membership(finder, compare::column(part, op, &text));
            match op {
                CompareOp::NotEqual => {
                    Sql::fill("(? or not ?)", [found, some_membership(finder, ALWAYS.into())])
                }
                _ if is_lookup => found.into_lookup(),
                _ => found,
            }
        }
        (Field::Json(json), Literal::Text(text))
            if op == CompareOp::Equal && json.is("emails", Some("value")) =>
        {
            an_email(json!({ "value": text }))
        }
        (Field::Json(json), literal) => {
            let found = compare::json(&json, op, literal);
            match op {
                CompareOp::NotEqual => {
                    Sql::fill("(? or not ?)", [found, compare::exists(&json, PRESENT, Map::new())])
                }
                _ => found,
            }
        }
        _ if op == CompareOp::NotEqual => ALWAYS.into(),
        _ => NEVER.into(),
    }
}

fn some_membership(finder: Finder<'_>, condition: Sql) -> Sql {
    Sql::fill("exists (select from ? and ?)", [finder.table().memberships().into(), condition])
}

/// One value must satisfy the whole filter.
fn value_path<'a>(finder: Finder<'a>, value_path: &ValuePath, scope: &Scope<'a>) -> Sql {
    let Some((attribute, field)) = finder.find(scope, &value_path.path) else { return NEVER.into() };
    let filter = &value_path.filter;
    match field {
        Field::Always => of(finder, filter, &Scope::Meta(attribute)),
        Field::Memberships(_) => {
            let condition = of(finder, filter, &Scope::Membership(attribute));
            let (is_lookup, is_narrow) = (condition.is_lookup(), condition.is_narrow());
            let found = some_membership(finder, condition);
            if is_lookup { found.into_lookup() } else { found.narrow_if(is_narrow) }
        }
        Field::Json(json) => {
            if let Some(email) = described_email(&json, attribute, filter) {
                return email;
            }
            let depth = match scope {
                Scope::Element(_, _, depth) => depth + 1,
                _ => 1,
            };
            let alias = sql::alias(depth);
            let element = Scope::Element(attribute, Sql::fill("?.v", [alias.clone()]), depth);
            let condition = of(finder, filter, &element);
            Sql::fill(
                "exists (select from jsonb_path_query(?, ?::jsonpath) as ?(v) where ?)",
                [json.base(), json.path_to(""), alias, condition],
            )
        }
        Field::Nothing | Field::Text(_) | Field::Instant(_) => NEVER.into(),
    }
}

/// `emails[type eq "work" and value eq "x"]`: only equalities, one of them with the address. It holds if the list
/// contains such a value.
fn described_email(json: &Json, attribute: &Attribute, filter: &Filter) -> Option<Sql> {
    if !json.is("emails", None) {
        return None;
    }
    let items = match filter {
        Filter::And(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut email = Map::new();
    for item in items {
        let Filter::Compare { path, op: CompareOp::Equal, value } = item else { return None };
        let sub = attribute.sub_attribute(path.as_str())?;
        let part = match Literal::new(sub, value)? {
            Literal::Text(text) if !text.is_empty() => Value::from(text),
            Literal::Boolean(value) => Value::from(value),
            _ => return None,
        };
        // Two equalities on one part are left to the general case.
        if email.insert(sub.name.to_string(), part).is_some() {
            return None;
        }
    }
    email.contains_key("value").then(|| an_email(Value::Object(email)))
}

/// A mail address with these parts, in the form that the index answers.
fn an_email(parts: Value) -> Sql {
    if parts.get("value") == Some(&json!("")) {
        return NEVER.into();
    }
    Sql::fill("((r.search -> 'emails') @> ?)", [sql::json(json!([parts]))]).into_lookup()
}

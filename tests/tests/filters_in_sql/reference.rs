//! A reference implementation of list order (RFC 7644 §3.4.2.3).

use std::cmp::Ordering;

use database::list::Sort;
use scim::schema::{Attribute, DataType, Resolved, Target};
use scim::{ResourceType, folded_instant, folded_text};
use serde_json::Value;
use uuid::Uuid;

/// A sort key.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Key {
    Text(String),
    Boolean(bool),
    Number(f64),
}

/// The ids in order: absent values last when ascending, first when descending; ties by id.
pub fn sorted<'v>(
    resource_type: &ResourceType,
    sort: &Sort,
    shown: impl Iterator<Item = (Uuid, &'v Value)>,
) -> Vec<Uuid> {
    let Some(Resolved::Attribute(target)) = resource_type.resolve(sort.by.as_str()) else {
        panic!("{} is an attribute", sort.by)
    };
    let mut keyed: Vec<(Option<Key>, Uuid)> = shown.map(|(id, shown)| (key(target, shown), id)).collect();
    keyed.sort_by(|(one, one_id), (other, other_id)| {
        let order = match (one, other) {
            (Some(one), Some(other)) => one.partial_cmp(other).unwrap(),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        let order = if sort.descending { order.reverse() } else { order };
        order.then(one_id.cmp(other_id))
    });
    keyed.into_iter().map(|(_, id)| id).collect()
}

fn key(target: Target<'_>, shown: &Value) -> Option<Key> {
    let container = match target.extension {
        Some(schema) => shown.get(&*schema.id)?,
        None => shown,
    };
    let value = match container.get(&*target.attribute.name)? {
        Value::Array(elements) => {
            let primary = elements.iter().find(|element| element.get("primary") == Some(&Value::Bool(true)));
            primary.or_else(|| elements.first())?
        }
        single => single,
    };
    match (target.sub, target.attribute.sub_attribute("value")) {
        (Some(sub), _) => typed(sub, value.get(&*sub.name)?),
        (None, Some(part)) if target.attribute.data_type == DataType::Complex => {
            typed(part, value.get("value")?)
        }
        (None, _) => typed(target.attribute, value),
    }
}

fn typed(attribute: &Attribute, value: &Value) -> Option<Key> {
    match attribute.data_type {
        DataType::Boolean => value.as_bool().map(Key::Boolean),
        DataType::Integer | DataType::Decimal => value.as_f64().map(Key::Number),
        DataType::DateTime => value.as_str().and_then(folded_instant).map(Key::Text),
        _ if attribute.case_exact => value.as_str().map(|text| Key::Text(text.to_owned())),
        _ => value.as_str().map(|text| Key::Text(folded_text(text))),
    }
}

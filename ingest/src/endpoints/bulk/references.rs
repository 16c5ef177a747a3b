//! References between the operations of a bulk request (RFC 7644 §3.7.2): `bulkId:x` is the id of the resource that the
//! operation with the bulkId `x` creates. Orders the operations by their references and resolves these to ids.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::Range;

use scim::{Error, holds_ids};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The prefix of a reference.
const MARK: &str = "bulkId:";

/// The bulkId in a reference.
pub(super) fn referred(text: &str) -> Option<&str> {
    text.strip_prefix(MARK)
}

/// The state of the resource that an operation creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// It will get this id, unless the operation restores an archived resource.
    Stamped(Uuid),
    /// It has this id.
    Made(Uuid),
    /// It was not created.
    Failed,
}

/// The created resources, by bulkId.
#[derive(Debug, Default)]
pub(super) struct Makers(pub(super) HashMap<String, Maker>);

impl Makers {
    /// The id for a bulkId.
    ///
    /// # Errors
    /// 409 if the bulkId is unknown or its operation failed (RFC 7644 §3.7.3).
    pub(super) fn id(&self, bulk_id: &str) -> Result<Uuid, Error> {
        match self.0.get(bulk_id) {
            Some(Maker::Stamped(id) | Maker::Made(id)) => Ok(*id),
            Some(Maker::Failed) => Err(Error::conflict("a bulkId refers to a resource that was not created")),
            None => Err(Error::conflict("a bulkId refers to no operation of this request")),
        }
    }

    /// Replaces references in the data by ids.
    ///
    /// # Errors
    /// As [`Makers::id`].
    pub(super) fn resolve(&self, data: &mut Value) -> Result<(), Error> {
        each(data, "", &mut |bulk_id| self.id(bulk_id).map(|id| id.to_string()))
    }
}

/// The bulkIds that the data refers to.
pub(super) fn references(data: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let note = |bulk_id: &str| -> Result<String, Infallible> {
        found.push(bulk_id.to_owned());
        Ok(String::new())
    };
    let Ok(()) = each(&mut data.clone(), "", &mut { note });
    found
}

/// Replaces each reference: a string under a key that holds ids, or a part of a PATCH path.
fn each<E>(
    data: &mut Value,
    key: &str,
    replace: &mut impl FnMut(&str) -> Result<String, E>,
) -> Result<(), E> {
    match data {
        Value::String(text) if key.eq_ignore_ascii_case("path") => {
            while let Some(place) = in_path(text) {
                let id = replace(&text[place.clone()][MARK.len()..])?;
                text.replace_range(place, &id);
            }
            Ok(())
        }
        Value::String(text) if holds_ids(key) => {
            if let Some(bulk_id) = referred(text) {
                *text = replace(bulk_id)?;
            }
            Ok(())
        }
        Value::Array(elements) => elements.iter_mut().try_for_each(|element| each(element, key, replace)),
        Value::Object(members) => {
            let elsewhere = is_operation_elsewhere(members);
            members.iter_mut().try_for_each(|(name, value)| match value {
                Value::String(_) if elsewhere && name.eq_ignore_ascii_case("value") => Ok(()),
                value => each(value, name, replace),
            })
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Whether this is a PATCH operation on an attribute that holds no id.
fn is_operation_elsewhere(members: &Map<String, Value>) -> bool {
    let get = |name: &str| members.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    let path = get("path").and_then(|(_, path)| path.as_str());
    get("op").is_some() && path.is_some_and(|path| !holds_ids(path))
}

/// The range of the first reference in a PATCH path, as in `members[value eq "bulkId:x"]`.
fn in_path(text: &str) -> Option<Range<usize>> {
    let start = text.find(&format!("\"{MARK}"))? + 1;
    let length = text[start..].find('"')?;
    Some(start..start + length)
}

/// The order of execution: the order of the request, except that an operation comes after the operations that it needs.
/// In a cycle, the first operation does not wait.
pub(super) fn order(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut waits_for: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut needed_by = vec![Vec::new(); needs.len()];
    for (operation, needs) in needs.iter().enumerate() {
        for need in needs {
            needed_by[*need].push(operation);
        }
    }
    let mut order = Vec::with_capacity(needs.len());
    let mut is_done = vec![false; needs.len()];
    for waits in [true, false] {
        for first in 0..needs.len() {
            // This operation, then earlier ones that waited only for it.
            let mut next = vec![first];
            while let Some(operation) = next.pop() {
                let must_wait = waits_for[operation] > 0 && (waits || operation != first);
                if must_wait || std::mem::replace(&mut is_done[operation], true) {
                    continue;
                }
                order.push(operation);
                for &waiting in needed_by[operation].iter().rev() {
                    waits_for[waiting] = waits_for[waiting].saturating_sub(1);
                    if waiting < first || !waits {
                        next.push(waiting);
                    }
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_come_after_those_that_they_need() {
        for (needs, expected) in [
            (vec![], vec![]),
            (vec![vec![], vec![], vec![]], vec![0, 1, 2]),
            // Unrelated operations keep their order.
            (vec![vec![2], vec![], vec![]], vec![1, 2, 0]),
            (vec![vec![1], vec![2], vec![]], vec![2, 1, 0]),
            (vec![vec![1, 2], vec![2], vec![]], vec![2, 1, 0]),
            (vec![vec![], vec![0], vec![1]], vec![0, 1, 2]),
            (vec![vec![2], vec![2], vec![]], vec![2, 0, 1]),
            // In a cycle the first one does not wait.
            (vec![vec![1], vec![0]], vec![0, 1]),
            (vec![vec![0]], vec![0]),
            (vec![vec![1], vec![2], vec![0], vec![]], vec![3, 0, 2, 1]),
            (vec![vec![2, 2], vec![0, 2], vec![]], vec![2, 0, 1]),
        ] {
            assert_eq!(order(&needs), expected, "{needs:?}");
        }
    }

    #[test]
    fn long_chain_is_ordered_quickly() {
        let needs: Vec<Vec<usize>> = (0..100_000).map(|n| vec![(n + 1) % 100_000]).collect();
        assert_eq!(order(&needs).len(), 100_000);
    }

    #[test]
    fn references_are_resolved_where_ids_are_expected() {
        let mut data = json!({
            "members": [{ "value": "bulkId:a" }, { "value": "x" }, "bulkId:b"], "urn:x:User:manager": "bulkId:b",
            "displayName": "bulkId:c", "Operations": [
                { "op": "add", "path": "members", "value": [{ "value": "bulkId:a" }] },
                { "op": "add", "path": "manager", "value": "bulkId:b" },
                { "op": "add", "path": "title", "value": "bulkId:c" },
                { "op": "remove", "path": "members[value eq \"bulkId:a\" or value eq \"bulkId:b\"]" },
            ],
        });
        let mut found = references(&data);
        found.sort_unstable();
        assert_eq!(found, ["a", "a", "a", "b", "b", "b", "b"]);
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let makers = Makers([("a".to_owned(), Maker::Made(a)), ("b".to_owned(), Maker::Stamped(b))].into());
        makers.resolve(&mut data).unwrap();
        let expected = json!({
            "members": [{ "value": a }, { "value": "x" }, b], "urn:x:User:manager": b,
            "displayName": "bulkId:c", "Operations": [
                { "op": "add", "path": "members", "value": [{ "value": a }] },
                { "op": "add", "path": "manager", "value": b },
                { "op": "add", "path": "title", "value": "bulkId:c" },
                { "op": "remove", "path": format!("members[value eq \"{a}\" or value eq \"{b}\"]") },
            ],
        });
        assert_eq!(data, expected);
    }

    #[test]
    fn unresolvable_reference_is_a_conflict() {
        let makers = Makers([("failed".to_owned(), Maker::Failed)].into());
        for text in ["bulkId:failed", "bulkId:unknown", "bulkId:"] {
            assert_eq!(makers.resolve(&mut json!({ "value": text })).unwrap_err().status, 409, "{text}");
        }
        assert_eq!(makers.resolve(&mut json!({ "value": "BULKID:x" })), Ok(()));
    }
}

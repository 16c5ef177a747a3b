//! References between the operations of a bulk request (RFC 7644 §3.7.2): `bulkId:x` stands for the id of the resource that
//! the operation with the bulkId `x` makes.
//!
//! Before it: the operations as they were sent. After it: the order in which they are performed, and their data with ids.

use std::collections::HashMap;

use serde_json::Value;
use shared::scim::Error;
use uuid::Uuid;

/// What a reference begins with.
const MARK: &str = "bulkId:";

/// The bulkId that a text refers to.
pub(super) fn referred(text: &str) -> Option<&str> {
    text.strip_prefix(MARK)
}

/// What is known of the resource that an operation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// It will have this id, unless the operation restores a resource that was there.
    Stamped(Uuid),
    /// It has this id.
    Made(Uuid),
    /// It was not made.
    Failed,
}

/// The makers of resources, by bulkId.
#[derive(Debug, Default)]
pub(super) struct Makers(pub(super) HashMap<String, Maker>);

impl Makers {
    /// The id that a bulkId stands for.
    ///
    /// # Errors
    /// 409 if nothing has it (RFC 7644 §3.7.3).
    pub(super) fn id(&self, bulk_id: &str) -> Result<Uuid, Error> {
        match self.0.get(bulk_id) {
            Some(Maker::Stamped(id) | Maker::Made(id)) => Ok(*id),
            Some(Maker::Failed) => Err(Error::conflict("a bulkId refers to a resource that was not made")),
            None => Err(Error::conflict("a bulkId refers to no operation of this request")),
        }
    }

    /// The data with ids for references.
    ///
    /// # Errors
    /// As [`Makers::id`].
    pub(super) fn resolve(&self, data: &mut Value) -> Result<(), Error> {
        match data {
            Value::String(text) => {
                if let Some(bulk_id) = referred(text) {
                    *text = self.id(bulk_id)?.to_string();
                }
                Ok(())
            }
            Value::Array(elements) => elements.iter_mut().try_for_each(|element| self.resolve(element)),
            Value::Object(members) => members.values_mut().try_for_each(|value| self.resolve(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}

/// The bulkIds that the data refer to.
pub(super) fn references<'a>(data: &'a Value, found: &mut Vec<&'a str>) {
    match data {
        Value::String(text) => found.extend(referred(text)),
        Value::Array(elements) => elements.iter().for_each(|element| references(element, found)),
        Value::Object(members) => members.values().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The order in which operations are performed: as they were sent, but each after those that it needs. In a circle one
/// of them has to be first.
pub(super) fn order(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(needs.len());
    let mut is_visited = vec![false; needs.len()];
    for first in 0..needs.len() {
        // A walk in depth without recursion: how far each operation's needs have been looked at.
        let mut path = vec![(first, 0)];
        while let Some((operation, looked_at)) = path.last_mut() {
            let operation = *operation;
            if *looked_at == 0 && std::mem::replace(&mut is_visited[operation], true) {
                path.pop();
                continue;
            }
            match needs[operation].get(*looked_at) {
                Some(need) => {
                    *looked_at += 1;
                    if !is_visited[*need] {
                        path.push((*need, 0));
                    }
                }
                None => {
                    order.push(operation);
                    path.pop();
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
    fn operations_stand_after_those_that_they_need() {
        for (needs, expected) in [
            (vec![], vec![]),
            (vec![vec![], vec![], vec![]], vec![0, 1, 2]),
            (vec![vec![2], vec![], vec![]], vec![2, 0, 1]),
            (vec![vec![1], vec![2], vec![]], vec![2, 1, 0]),
            (vec![vec![1, 2], vec![2], vec![]], vec![2, 1, 0]),
            // In a circle the last one that is reached is first.
            (vec![vec![1], vec![0]], vec![1, 0]),
            (vec![vec![0]], vec![0]),
            (vec![vec![1], vec![2], vec![0], vec![]], vec![2, 1, 0, 3]),
            (vec![vec![2, 2], vec![0, 2], vec![]], vec![2, 0, 1]),
        ] {
            assert_eq!(order(&needs), expected, "{needs:?}");
        }
    }

    #[test]
    fn a_long_chain_is_no_burden() {
        let needs: Vec<Vec<usize>> = (0..100_000).map(|n| vec![(n + 1) % 100_000]).collect();
        assert_eq!(order(&needs).len(), 100_000);
    }

    #[test]
    fn references_are_found_and_resolved_wherever_they_stand() {
        let mut data =
            json!({ "members": [{ "value": "bulkId:a" }, { "value": "x" }], "m": { "value": "bulkId:b" } });
        let mut found = Vec::new();
        references(&data, &mut found);
        found.sort_unstable();
        assert_eq!(found, ["a", "b"]);
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let makers = Makers([("a".to_owned(), Maker::Made(a)), ("b".to_owned(), Maker::Stamped(b))].into());
        makers.resolve(&mut data).unwrap();
        assert_eq!(data, json!({ "members": [{ "value": a }, { "value": "x" }], "m": { "value": b } }));
    }

    #[test]
    fn what_cannot_be_resolved_is_a_conflict() {
        let makers = Makers([("failed".to_owned(), Maker::Failed)].into());
        for text in ["bulkId:failed", "bulkId:unknown", "bulkId:"] {
            assert_eq!(makers.resolve(&mut json!([text])).unwrap_err().status, 409, "{text}");
        }
        assert_eq!(makers.resolve(&mut json!("BULKID:x")), Ok(()));
    }
}

//! Reads the value filters of members: which ids they select, and whether they contain `$ref`.

use serde_json::Value;
use uuid::Uuid;

use super::KIND;
use super::ids::id;
use crate::syntax::{CompareOp, Filter, ValuePath};

/// The ids that the filter selects, if it selects by id only: `value eq`, joined by `or` or `and`, and the `type` that
/// all members have.
pub(super) fn selected_ids(filter: &Filter) -> Option<Vec<Uuid>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Equal, value: Value::String(text) }
            if path.as_str().eq_ignore_ascii_case("value") =>
        {
            Some(vec![id(text)])
        }
        Filter::Or(items) => items.iter().try_fold(Vec::new(), |mut ids, item| {
            ids.extend(selected_ids(item)?);
            Some(ids)
        }),
        Filter::And(items) => {
            let mut selected: Option<Vec<Uuid>> = None;
            for item in items.iter().filter(|item| !says_user(item)) {
                let ids = selected_ids(item)?;
                match &mut selected {
                    Some(selected) => selected.retain(|id| ids.contains(id)),
                    None => selected = Some(ids),
                }
            }
            selected
        }
        _ => None,
    }
}

/// Whether the filter is `type eq "User"`, which matches every member.
fn says_user(filter: &Filter) -> bool {
    match filter {
        Filter::Compare { path, op: CompareOp::Equal, value: Value::String(text) } => {
            path.as_str().eq_ignore_ascii_case("type") && text.eq_ignore_ascii_case(KIND)
        }
        _ => false,
    }
}

/// Whether the filter contains `$ref`. It depends on the base URL of the request, which the worker does not have.
pub(super) fn has_reference(filter: &Filter) -> bool {
    match filter {
        Filter::And(items) | Filter::Or(items) => items.iter().any(has_reference),
        Filter::Not(inner) => has_reference(inner),
        Filter::Compare { path, .. } | Filter::Present(path) => path.as_str().eq_ignore_ascii_case("$ref"),
        Filter::ValuePath(ValuePath { filter, .. }) => has_reference(filter),
    }
}

//! The order in which the keys of a larger value are assigned, whatever the order in which they were sent.
//!
//! Before it: a body, or a value without a path. After it: `draft`, and the leaver's rule, which assign key by key.

use serde_json::Value;

use crate::scim::schema::ResourceType;

/// The members of a value without a path, in the order in which they are assigned: a key that is written as the RFC has it has
/// the last word beside one that means the same attribute, `URN:department` beside `department`.
pub(in crate::scim) fn in_order<'v>(
    resource_type: &ResourceType,
    members: impl Iterator<Item = (&'v String, &'v Value)>,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    let (exact, others): (Vec<_>, Vec<_>) =
        members.partition(|(name, _)| resource_type.is_exact(attribute_of(name)));
    others.into_iter().chain(exact)
}

/// The attribute's part of a key, which is a path and may hold a value filter.
pub(super) fn attribute_of(name: &str) -> &str {
    name.split('[').next().unwrap_or_default()
}

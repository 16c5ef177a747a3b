//! The order in which the keys of a larger value are assigned, independent of the order in which they were sent.

use serde_json::Value;

use crate::schema::ResourceType;

/// The members of a value without a path, in the order of assignment. A key in the RFC's form is assigned last, so that
/// it overrides a tolerated form of the same attribute (`URN:department` overrides `department`).
pub(crate) fn in_order<'v>(
    resource_type: &ResourceType,
    members: impl Iterator<Item = (&'v String, &'v Value)>,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    let (exact, others): (Vec<_>, Vec<_>) =
        members.partition(|(name, _)| resource_type.is_exact(attribute_of(name)));
    others.into_iter().chain(exact)
}

/// The attribute path of a key, without the value filter that it may contain.
pub(super) fn attribute_of(name: &str) -> &str {
    name.split('[').next().unwrap_or_default()
}

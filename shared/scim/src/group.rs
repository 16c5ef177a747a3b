//! Groups (RFC 7643 §4.2). Members are kept separate from the other attributes, because a group may have 100,000 of
//! them and a change usually names a few. `group/members.rs` translates operations into changes of the members.

mod displays;
mod members;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub use self::displays::Displays;
use self::members::Split;
use super::draft::How;
use super::error::Error;
use super::patch::{Patch, operations};
use super::resource::Resource;
use super::schema::ResourceType;
use super::syntax::Filter;

/// A group as sent by a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its attributes without `members`.
    pub resource: Resource,
    /// The member ids in the order in which they were sent, including duplicates. A text that is not an id becomes nil,
    /// which is never a user's id.
    pub members: Vec<Uuid>,
    /// The `display` values of some members. (Absent in messages of the previous version.)
    #[serde(default, skip_serializing_if = "Displays::is_empty")]
    pub displays: Displays,
}

/// A PATCH of a group, split into independent changes of the attributes and of the members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupPatch {
    /// The operations on attributes, in sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Patch>,
    /// The operations on members, in sequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberChange>,
    /// The `display` values of some members, both existing and added ones.
    #[serde(default, skip_serializing_if = "Displays::is_empty")]
    pub displays: Displays,
}

/// One change of the members. Ids are as in [`Group::members`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberChange {
    /// Add these users.
    Add(Vec<Uuid>),
    /// Remove these users.
    Remove(Vec<Uuid>),
    /// Set the members to exactly these users.
    Replace(Vec<Uuid>),
    /// Remove the members that the filter selects by attributes other than the id (`display`, `type`):
    /// [`selects_member`].
    RemoveMatching(Filter),
}

impl Group {
    /// Parses the body of a POST or PUT. null, [] and absent members all mean an empty group.
    ///
    /// # Errors
    /// As [`Resource::parse`].
    pub fn parse(resource_type: &ResourceType, body: &Value) -> Result<Self, Error> {
        let Value::Object(given) = body else {
            return Err(Error::invalid_syntax("the body must be a JSON object"));
        };
        let mut split = Split::new(resource_type);
        let rest = split.object(How::Replace, given)?;
        let resource = Resource::parse(resource_type, &Value::Object(rest))?;
        let (changes, displays) = split.into_changes();
        let mut members = Vec::new();
        for change in changes {
            match change {
                MemberChange::Replace(ids) => members = ids,
                MemberChange::Add(ids) => members.extend(ids),
                // A body lists the members, so a key with a value filter removes none of them.
                MemberChange::Remove(_) | MemberChange::RemoveMatching(_) => {}
            }
        }
        Ok(Self { resource, members, displays })
    }
}

impl GroupPatch {
    /// Parses the body of a PATCH.
    ///
    /// # Errors
    /// As [`Patch::parse`]; 400 `mutability` for a change of a member's sub-attributes other than `display`, which are
    /// immutable (RFC 7643 §4.2).
    pub fn parse(resource_type: &ResourceType, body: &Value) -> Result<Self, Error> {
        let mut split = Split::new(resource_type);
        let mut attributes = Vec::new();
        for operation in operations(body)? {
            operation.check()?;
            attributes.extend(split.operation(operation)?);
        }
        let attributes =
            (!attributes.is_empty()).then(|| Patch::of(attributes).without_unkept(resource_type));
        let (members, displays) = split.into_changes();
        Ok(Self { attributes, members, displays })
    }
}

/// Whether the value filter of [`MemberChange::RemoveMatching`] selects the member with this id and `display`.
///
/// # Errors
/// As [`Filter::matches_element`]. A filter from [`GroupPatch::parse`] never fails.
pub fn selects_member(filter: &Filter, id: Uuid, display: &str) -> Result<bool, Error> {
    let attribute = members::attribute(ResourceType::group())
        .ok_or_else(|| Error::internal("the group schema has no members attribute"))?;
    let member = json!({ "value": id, "display": display, "type": members::KIND });
    filter.matches_element(attribute, &member)
}

#[cfg(test)]
mod tests;

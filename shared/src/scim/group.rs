//! Groups (RFC 7643 §4.2): attributes like any resource's, and members, which are kept apart because there may be
//! 100,000 of them and a change names a few.
//!
//! Before it: `parse_json`. After it: the command envelope, and the fold, which knows who is a member. What an operation
//! means for the members is told in `group/members.rs`.

mod members;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use self::members::Split;
use super::draft::How;
use super::error::Error;
use super::filter::Filter;
use super::patch::{Patch, operations};
use super::resource::Resource;
use super::schema::ResourceType;

/// A group as a client wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its attributes without `members`.
    pub resource: Resource,
    /// The ids of the members in the order in which they were named, repetitions included. What cannot be an id is nil,
    /// which nobody has.
    pub members: Vec<Uuid>,
}

/// A PATCH of a group: what it does to the attributes and what to the members, which do not touch each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupPatch {
    /// The operations on attributes, in sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Patch>,
    /// The operations on members, in sequence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberChange>,
}

/// One operation on the members. Ids are as in [`Group::members`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MemberChange {
    /// These too.
    Add(Vec<Uuid>),
    /// Not these any more.
    Remove(Vec<Uuid>),
    /// These and nobody else.
    Replace(Vec<Uuid>),
    /// Not those any more whom the filter selects by more than their ids (`display`, `type`):
    /// [`Filter::selects_member`].
    RemoveMatching(Filter),
}

impl Group {
    /// Reads the body of a POST or PUT. null, [] and absent are the same: nobody is a member.
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
        let mut members = Vec::new();
        for change in split.into_changes() {
            match change {
                MemberChange::Replace(ids) => members = ids,
                MemberChange::Add(ids) => members.extend(ids),
                // A body lists who there is; whom it leaves empty is not there.
                MemberChange::Remove(_) | MemberChange::RemoveMatching(_) => {}
            }
        }
        Ok(Self { resource, members })
    }
}

impl GroupPatch {
    /// Reads the body of a PATCH.
    ///
    /// # Errors
    /// As [`Patch::parse`]; 400 `mutability` for a change of what a member is (RFC 7643 §4.2: its parts are immutable).
    pub fn parse(resource_type: &ResourceType, body: &Value) -> Result<Self, Error> {
        let mut split = Split::new(resource_type);
        let mut attributes = Vec::new();
        for operation in operations(body)? {
            operation.check()?;
            attributes.extend(split.operation(operation)?);
        }
        let attributes =
            (!attributes.is_empty()).then(|| Patch::of(attributes).without_unkept(resource_type));
        Ok(Self { attributes, members: split.into_changes() })
    }
}

impl Filter {
    /// Whether the value filter of [`MemberChange::RemoveMatching`] selects the member of this id and `display`.
    ///
    /// # Errors
    /// None for a filter that came by [`GroupPatch::parse`]; else as [`Filter::matches_element`].
    pub fn selects_member(&self, id: Uuid, display: &str) -> Result<bool, Error> {
        let attribute = members::attribute(ResourceType::group())
            .ok_or_else(|| Error::internal("the table has no members"))?;
        let member = json!({ "value": id, "display": display, "type": members::KIND });
        self.matches_element(attribute, &member)
    }
}

#[cfg(test)]
mod tests;

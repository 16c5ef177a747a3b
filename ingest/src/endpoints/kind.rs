//! The differences between `/Users` and `/Groups`. The handlers are the same for both.

use domain::command::{Change, Origin};
use scim::{Computed, Error, Group, GroupPatch, Patch, Related, Resource, ResourceType, Types};
use serde_json::Value;

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// RFC 7643 §4.1.
    User,
    /// RFC 7643 §4.2.
    Group,
}

impl Kind {
    /// Both, in the order of a query of the root.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// The path below the base path, and the `endpoint` of the resource type.
    #[must_use]
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::User => "/Users",
            Self::Group => "/Groups",
        }
    }

    /// The tenant's resource type.
    #[must_use]
    pub fn resource_type(self, types: &Types) -> &ResourceType {
        match self {
            Self::User => &types.user,
            Self::Group => &types.group,
        }
    }

    /// The attribute that refers to other resources. It is loaded only if it is returned.
    pub(super) fn computed(self) -> &'static str {
        match self {
            Self::User => "groups",
            Self::Group => "members",
        }
    }

    /// The value of the computed attribute.
    pub(super) fn computed_of(self, related: Vec<Related>) -> Computed {
        match self {
            Self::User => Computed::Groups(related),
            Self::Group => Computed::Members(related),
        }
    }

    /// The kind of resource that a change concerns, from the first part of [`Change::name`].
    pub(super) fn of_change(name: &str) -> Option<Self> {
        match name.split_once('.')?.0 {
            "user" => Some(Self::User),
            "group" => Some(Self::Group),
            _ => None,
        }
    }

    pub(super) fn not_found(self) -> Error {
        match self {
            Self::User => Error::not_found("there is no User with this id"),
            Self::Group => Error::not_found("there is no Group with this id"),
        }
    }
}

/// The methods that change resources (RFC 7644 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of a change, from the second part of [`Change::name`].
    pub(super) fn of_change(name: &str) -> Option<Self> {
        match name.split_once('.')?.1 {
            "create" => Some(Self::Post),
            "replace" => Some(Self::Put),
            "patch" => Some(Self::Patch),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }

    /// Parses a body into a change.
    ///
    /// # Errors
    /// Everything that can be rejected without the database. The exception is a request that deactivates a user: it
    /// must not fail because of its other values.
    pub(super) fn change(self, kind: Kind, types: &Types, body: &Value) -> Result<Change, Error> {
        let resource_type = kind.resource_type(types);
        Ok(match (kind, self) {
            (Kind::User, Self::Post) => Change::CreateUser {
                user: Resource::parse(resource_type, body)?,
                origin: Origin::Scim,
                role: None,
            },
            (Kind::User, Self::Put) => match scim::leaver::read(resource_type, body)? {
                (user, None) => Change::ReplaceUser { user },
                (user, Some(misfit)) => Change::LeaveUser { user, misfit },
            },
            (Kind::User, Self::Patch) => {
                Change::PatchUser { patch: Patch::parse(body)?.without_unkept(resource_type) }
            }
            (Kind::User, Self::Delete) => Change::DeleteUser,
            (Kind::Group, Self::Post) => Change::CreateGroup { group: Group::parse(resource_type, body)? },
            (Kind::Group, Self::Put) => Change::ReplaceGroup { group: Group::parse(resource_type, body)? },
            (Kind::Group, Self::Patch) => {
                Change::PatchGroup { patch: GroupPatch::parse(resource_type, body)? }
            }
            (Kind::Group, Self::Delete) => Change::DeleteGroup,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_name_gives_kind_and_method() {
        for (change, kind, method) in [
            (Change::DeleteUser, Kind::User, Method::Delete),
            (Change::DeleteGroup, Kind::Group, Method::Delete),
        ] {
            assert_eq!(Kind::of_change(change.name()), Some(kind));
            assert_eq!(Method::of_change(change.name()), Some(method));
        }
        for (name, method) in
            [("user.create", Method::Post), ("group.replace", Method::Put), ("group.patch", Method::Patch)]
        {
            assert_eq!(Method::of_change(name), Some(method));
        }
        assert_eq!(Kind::of_change("mail.delete"), None);
        assert_eq!(Method::of_change("user.merge"), None);
    }

    #[test]
    fn endpoint_is_that_of_the_resource_type() {
        let types = Types::default();
        for kind in Kind::ALL {
            assert_eq!(kind.endpoint(), kind.resource_type(&types).endpoint);
        }
    }
}

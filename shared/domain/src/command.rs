//! The command envelope, which `ingest` and the operators' CLI publish to `rollcall.commands` and `worker` applies.

mod actor;
mod fingerprint;
mod if_match;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::actor::{Actor, Origin, Role};
pub use self::fingerprint::{Fingerprint, name_digest};
pub use self::if_match::IfMatch;
use crate::pull::Supplement;
use crate::ticket::Ticket;
use scim::{Group, GroupPatch, Misfit, Patch, Resource, ResourceType, Types};

/// The newest version of the envelope. A worker dead-letters versions that it does not support.
pub const VERSION: u8 = 3;

/// One change request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The lowest version of the envelope that can express the command.
    pub version: u8,
    /// The command's id, and its position in the order of commands.
    pub ticket: Ticket,
    /// The tenant.
    pub tenant: Uuid,
    /// Who requested it.
    pub actor: Actor,
    /// The HTTP request (or CLI call) that caused it, for the logs of all services.
    pub request: Uuid,
    /// Identifies repeated requests: see [`Fingerprint`].
    pub fingerprint: Fingerprint,
    /// When the sender issued it.
    #[serde(with = "time::serde::rfc3339")]
    pub issued_at: OffsetDateTime,
    /// When the sender stops waiting for the outcome.
    #[serde(with = "time::serde::rfc3339")]
    pub deadline: OffsetDateTime,
    /// The resource's id; for a create, the id that it will have.
    pub resource: Uuid,
    /// The versions (`If-Match`) that the sender accepts; `None` accepts any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<IfMatch>,
    /// Whether this is an asynchronous request (RFC 9967). The sender has accepted it and waits for no verdict, so it
    /// is applied whenever it is delivered. It is stale only if it would reactivate somebody, or by the pull's own ticket.
    /// Its outcome is fetched, not returned to a repeated request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asynchronous: bool,
    /// The change.
    pub change: Change,
}

impl Command {
    /// The [`name_digest`] of the requested userName: of a create, a PUT, or a PATCH of userName.
    #[must_use]
    pub fn name_digest(&self) -> Option<String> {
        let name = match &self.change {
            Change::CreateUser { user, .. } | Change::ReplaceUser { user } => Some(user.user_name()),
            Change::LeaveUser { user, .. } => user.text("userName"),
            Change::PatchUser { patch } => patch.user_name(),
            _ => None,
        };
        name.map(|name| name_digest(self.tenant, name))
    }
}

/// What a command changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub enum Change {
    /// RFC 7644 §3.3.
    CreateUser {
        /// As validated by ingest.
        user: Resource,
        /// Where the account comes from.
        origin: Origin,
        /// Learner unless an operator sets another role; SCIM cannot set it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
    },
    /// RFC 7644 §3.5.1.
    ReplaceUser {
        /// As validated by ingest.
        user: Resource,
    },
    /// RFC 7644 §3.5.1, with the leaver rule: an incomplete PUT, accepted only if it makes the user inactive.
    LeaveUser {
        /// The valid part of the request.
        user: Resource,
        /// The invalid part, and the error if the user stays active.
        misfit: Misfit,
    },
    /// RFC 7644 §3.5.2.
    PatchUser {
        /// The operations, parsed but not yet applied.
        patch: Patch,
    },
    /// RFC 7644 §3.6.
    DeleteUser,
    /// By an operator or the learning platform; SCIM cannot do this.
    SetRole {
        /// The new role.
        role: Role,
    },
    /// Sets attributes that SCIM does not carry. Nothing else changes, except that an account without an `externalId`
    /// is linked.
    SupplementUser {
        /// What the pull has read.
        supplement: Supplement,
    },
    /// RFC 7644 §3.3.
    CreateGroup {
        /// As validated by ingest.
        group: Group,
    },
    /// RFC 7644 §3.5.1.
    ReplaceGroup {
        /// As validated by ingest.
        group: Group,
    },
    /// RFC 7644 §3.5.2.
    PatchGroup {
        /// The operations, parsed but not yet applied.
        patch: GroupPatch,
    },
    /// RFC 7644 §3.6.
    DeleteGroup,
}

impl Change {
    /// Whether it changes a user, not a group.
    #[must_use]
    pub fn is_about_user(&self) -> bool {
        matches!(
            self,
            Self::CreateUser { .. }
                | Self::ReplaceUser { .. }
                | Self::LeaveUser { .. }
                | Self::PatchUser { .. }
                | Self::DeleteUser
                | Self::SetRole { .. }
                | Self::SupplementUser { .. }
        )
    }

    /// For the activity log: the names (not the values) of the attributes of a PATCH as the tenant's schemas define
    /// them, or the new role. Empty for other changes.
    #[must_use]
    pub fn attributes(&self, types: &Types) -> Vec<String> {
        match self {
            Self::PatchUser { patch } => patch.attributes(&types.user),
            Self::PatchGroup { patch } => {
                let attributes = patch.attributes.as_ref();
                let mut names = attributes.map(|patch| patch.attributes(&types.group)).unwrap_or_default();
                let has_members = !patch.members.is_empty() || !patch.displays.is_empty();
                names.extend(has_members.then(|| "members".to_owned()));
                names
            }
            Self::SetRole { role } => vec![format!("role={}", role.as_str())],
            _ => Vec::new(),
        }
    }

    /// The resource type that it changes, with the tenant's extensions.
    #[must_use]
    pub fn resource_type<'a>(&self, types: &'a Types) -> &'a ResourceType {
        match self {
            Self::CreateGroup { .. }
            | Self::ReplaceGroup { .. }
            | Self::PatchGroup { .. }
            | Self::DeleteGroup => &types.group,
            _ => &types.user,
        }
    }

    /// The lowest version of the envelope that can express the change.
    #[must_use]
    pub fn version(&self) -> u8 {
        match self {
            Self::LeaveUser { .. } => 3,
            Self::PatchUser { patch } if !patch.is_complete() => 3,
            _ => 1,
        }
    }

    /// The name of the change in the activity log and in log lines.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateUser { .. } => "user.create",
            Self::ReplaceUser { .. } | Self::LeaveUser { .. } => "user.replace",
            Self::PatchUser { .. } => "user.patch",
            Self::DeleteUser => "user.delete",
            Self::SetRole { .. } => "user.role",
            Self::SupplementUser { .. } => "user.supplement",
            Self::CreateGroup { .. } => "group.create",
            Self::ReplaceGroup { .. } => "group.replace",
            Self::PatchGroup { .. } => "group.patch",
            Self::DeleteGroup => "group.delete",
        }
    }
}

#[cfg(test)]
mod tests;

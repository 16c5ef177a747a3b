//! The command envelope, which `ingest` and the operators' CLI publish to `rollcall.commands` and `worker` applies.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::pull::Supplement;
use crate::ticket::Ticket;
use scim::{Group, GroupPatch, Misfit, Patch, Resource, user_name_key};

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

    /// For the activity log: the names (not the values) of the attributes of a PATCH, or the new role. Empty for other
    /// changes.
    #[must_use]
    pub fn attributes(&self) -> Vec<String> {
        match self {
            Self::PatchUser { patch } => patch.attributes(),
            Self::PatchGroup { patch } => {
                let mut names = patch.attributes.as_ref().map(Patch::attributes).unwrap_or_default();
                let has_members = !patch.members.is_empty() || !patch.displays.is_empty();
                names.extend(has_members.then(|| "members".to_owned()));
                names
            }
            Self::SetRole { role } => vec![format!("role={}", role.as_str())],
            _ => Vec::new(),
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

/// Who requested a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Actor {
    /// A client with this API key.
    Key(Uuid),
    /// An operator at the CLI.
    Operator,
    /// The pull from Okta's API.
    Pull,
    /// The learning platform, by an event over AMQP.
    Platform,
}

impl Actor {
    /// The lowest version of the envelope that can express this actor and the changes that only it requests.
    #[must_use]
    pub fn version(&self) -> u8 {
        match self {
            Self::Key(_) | Self::Operator => 1,
            Self::Pull | Self::Platform => 2,
        }
    }
}

impl std::fmt::Display for Actor {
    /// As it is stored: the key's id, or a word.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Operator => f.write_str("operator"),
            Self::Pull => f.write_str("pull"),
            Self::Platform => f.write_str("platform"),
        }
    }
}

/// Where an account comes from. Decides whether a welcome mail is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Provisioned by an identity provider, without mail.
    Scim,
    /// Created by hand.
    Manual,
}

impl Origin {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scim => "scim",
            Self::Manual => "manual",
        }
    }
}

/// A user's role in the learning platform. SCIM neither sets nor returns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Administers the platform.
    Admin,
    /// Manages people.
    Manager,
    /// Creates content.
    Creator,
    /// Learns.
    #[default]
    Learner,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Manager, Self::Creator, Self::Learner];

    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Manager => "manager",
            Self::Creator => "creator",
            Self::Learner => "learner",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == s)
            .ok_or_else(|| "must be admin, manager, creator or learner".to_owned())
    }
}

/// The `If-Match` header of a request (RFC 9110 §13.1.1): the versions that the resource may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IfMatch {
    /// `*`: any version, but the resource must exist.
    Any,
    /// One of these entity tags, as sent.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Whether a resource with this entity tag may be changed. Comparison is weak: all our tags are weak (RFC 7644
    /// §3.14).
    #[must_use]
    pub fn allows(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| opaque(tag) == opaque(etag)),
        }
    }
}

impl std::str::FromStr for IfMatch {
    type Err = std::convert::Infallible;

    fn from_str(header: &str) -> Result<Self, Self::Err> {
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        Ok(Self::Tags(header.split(',').map(|tag| tag.trim().to_owned()).collect()))
    }
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// SHA-256 over tenant, method, path, body and `If-Match`. Requests with the same fingerprint count as the same
/// request, so that a repeated request can receive an outcome that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a request.
    #[must_use]
    pub fn of(tenant: Uuid, method: &str, path: &str, body: &[u8], if_match: Option<&str>) -> Self {
        let if_match = if_match.unwrap_or("").as_bytes();
        Self(sha256([tenant.as_bytes(), method.as_bytes(), path.as_bytes(), if_match, body]))
    }

    /// From storage.
    #[must_use]
    pub fn stored(hex: String) -> Self {
        Self(hex)
    }

    /// As lower-case hexadecimal.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 over tenant and userName (case-insensitive), in lower-case hexadecimal. The activity log finds changes of a
/// userName by it without storing the userName.
#[must_use]
pub fn name_digest(tenant: Uuid, user_name: &str) -> String {
    sha256([tenant.as_bytes(), user_name_key(user_name).as_bytes()])
}

fn sha256<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    hex::encode(sha.finalize())
}

#[cfg(test)]
mod tests;

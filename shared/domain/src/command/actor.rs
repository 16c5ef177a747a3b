//! Who requests changes, where accounts come from, and the roles of users.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

    /// As it was stored. Whatever is not `manual` gets no mail.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        if text == Self::Manual.as_str() { Self::Manual } else { Self::Scim }
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

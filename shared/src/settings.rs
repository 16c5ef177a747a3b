//! What a tenant chose: the typed form of the column `tenants.settings`.
//!
//! Before it: `rollcall tenant set`. After it: whoever does as the tenant chose: the worker, ingest.

use serde::{Deserialize, Serialize};

/// A tenant's settings; what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What to do about a group's members who are not known.
    pub unknown_members: UnknownMembers,
    /// What to do about a POST of somebody who is there and active.
    pub on_duplicate: OnDuplicate,
    /// The most requests in a second that one ingest takes, with a burst of as many; 0 is without a limit.
    pub requests_per_second: u32,
}

/// What to do about a POST of somebody who is there and active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicate {
    /// 409 `uniqueness` (RFC 7644 §3.3).
    #[default]
    Conflict,
    /// Take it for an update of the whole resource, and answer 201.
    Update,
}

/// What to do about a group's members who are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownMembers {
    /// Refuse the whole request with 400 before anything changes.
    #[default]
    Reject,
    /// Leave them out and tell how many they were.
    Skip,
}

//! What a tenant chose: the typed form of the column `tenants.settings`.
//!
//! Before it: `rollcall tenant set`. After it: whoever does as the tenant chose: the worker, ingest, the notifier.

mod mail;
mod stored;

use serde::{Deserialize, Serialize};

pub use mail::{Address, AssignmentMail, BrandColour, BrandName, LearningUrl, Locale, Logo, Mail, Welcome};

/// A tenant's settings; what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// What to do about a group's members who are not known.
    pub unknown_members: UnknownMembers,
    /// What to do about a POST of somebody who is there and active.
    pub on_duplicate: OnDuplicate,
    /// Whether two active people may have one externalId.
    pub external_id: ExternalId,
    /// What `/ServiceProviderConfig` tells.
    pub discovery: Discovery,
    /// The most requests in a second that one ingest takes, with a burst of as many; 0 is without a limit.
    pub requests_per_second: u32,
    /// Which mail its people get, and how it looks.
    #[serde(flatten)]
    pub mail: Mail,
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

/// Whether two active people of a tenant may have one externalId.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExternalId {
    /// They may: its uniqueness is the client's business (RFC 7643 §3.1).
    #[default]
    Shared,
    /// 409 `uniqueness` for a change that would give an active person the externalId of another active one.
    Unique,
}

/// What `/ServiceProviderConfig` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discovery {
    /// All that the server can do.
    #[default]
    Full,
    /// The same without `securityEvents` (RFC 9967), which strict clients refuse because they do not know it.
    Core,
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

/// Every setting, with what it may be and what it is for: as `rollcall tenant set --help` and the README tell.
pub const DESCRIBED: &[(&str, &str)] = &[
    (
        "on_duplicate",
        "conflict or update: whether a POST of somebody who is there and active is refused, or taken for an update",
    ),
    (
        "external_id",
        "shared or unique: whether active people may share an externalId, or a change that would make them do so is refused with 409",
    ),
    (
        "discovery",
        "full or core: core leaves securityEvents out of /ServiceProviderConfig, for clients that refuse what they do not know",
    ),
    ("unknown_members", "reject or skip: what to do about members of a group who are not known"),
    (
        "requests_per_second",
        "a number: the most requests a second that one ingest takes; 0 is without a limit",
    ),
    (
        "assignment_mail",
        "first, every or digest: mail for a person's first assignment alone, for every one, or one mail a day for all after the first",
    ),
    (
        "welcome",
        "manual or none: whose accounts are welcomed by mail; those of the identity provider never are",
    ),
    ("mail_sender", "a mail address, with or without a name; empty: the notifier's own"),
    ("mail_reply_to", "a mail address, with or without a name; empty: none"),
    ("brand_name", "the company's name as mail shows it; empty: none"),
    ("brand_logo", "the https URL of a picture; empty: none"),
    ("brand_colour", "as in #1f5fd6; empty: a blue"),
    ("locale", "en, de, fr or es: the language of people whose own is none of these"),
    ("learning_url", "the learning platform's front page, http or https; empty: the notifier's own"),
    ("mails_per_minute", "a number: the most mails a minute that go out; 0 is without a limit"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described() {
        let settings = serde_json::to_value(Settings::default()).unwrap();
        let mut known: Vec<&str> = settings.as_object().unwrap().keys().map(String::as_str).collect();
        let mut described: Vec<&str> = DESCRIBED.iter().map(|(key, _)| *key).collect();
        known.sort_unstable();
        described.sort_unstable();
        assert_eq!(known, described);
    }
}

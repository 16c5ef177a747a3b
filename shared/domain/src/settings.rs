//! A tenant's settings: the typed form of the column `tenants.settings`.

mod limits;
mod mail;
mod retention;
mod stored;

use serde::{Deserialize, Serialize};

pub use limits::{LIMITS, Limit, LimitRow, Limits, Reached};
pub use mail::{Address, AssignmentMail, BrandColour, BrandName, LearningUrl, Locale, Logo, Mail, Welcome};
pub use retention::{Days, Retention};
pub use scim::discovery::Discovery;

/// A tenant's settings; absent ones have their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How unknown members of a group are handled.
    pub unknown_members: UnknownMembers,
    /// How a POST of an existing active user is handled.
    pub on_duplicate: OnDuplicate,
    /// Whether two active users may have the same externalId.
    pub external_id: ExternalId,
    /// What `/ServiceProviderConfig` lists.
    pub discovery: Discovery,
    /// Which links content may have.
    pub content_links: ContentLinks,
    /// Who is told that an API key expires.
    pub contact: Address,
    /// What it may use.
    #[serde(flatten)]
    pub limits: Limits,
    /// Which mail its users get, and how it looks.
    #[serde(flatten)]
    pub mail: Mail,
    /// How long personal data is kept.
    #[serde(flatten)]
    pub retention: Retention,
}

/// How a POST of an existing active user is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicate {
    /// 409 `uniqueness` (RFC 7644 §3.3).
    #[default]
    Conflict,
    /// Treat it as an update of the whole resource, and answer 201.
    Update,
}

/// Whether two active users of a tenant may have the same externalId.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExternalId {
    /// They may: the client is responsible for its uniqueness (RFC 7643 §3.1).
    #[default]
    Shared,
    /// 409 `uniqueness` for a change that would give an active user the externalId of another active user.
    Unique,
}

/// Which links content may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentLinks {
    /// `https` only.
    #[default]
    Https,
    /// `http` too.
    Http,
}

/// How unknown members of a group are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownMembers {
    /// Reject the whole request with 400 before anything changes.
    #[default]
    Reject,
    /// Skip them and report how many there were.
    Skip,
}

/// Every setting except the limits (see [`LIMITS`]), with its values and its purpose, for `rollcall tenant set --help`
/// and the handbook.
pub const DESCRIBED: &[(&str, &str)] = &[
    (
        "on_duplicate",
        "conflict or update: whether a POST of an existing active user is rejected, or treated as an update",
    ),
    (
        "external_id",
        "shared or unique: whether active users may share an externalId, or a change that would cause this is rejected with 409",
    ),
    (
        "discovery",
        "full or core: core omits securityEvents from /ServiceProviderConfig, for clients that reject unknown attributes",
    ),
    ("unknown_members", "reject or skip: how unknown members of a group are handled"),
    ("content_links", "https or http: whether an event's content.url must be https, or may be http too"),
    (
        "contact",
        "a mail address, with or without a name: who gets mail before an API key expires; empty: nobody",
    ),
    (
        "assignment_mail",
        "first, every or digest: mail for a user's first assignment only, for every assignment, or for the first and then once a day",
    ),
    (
        "welcome",
        "manual or none: whether accounts that are created by hand get a welcome mail; others never do",
    ),
    ("mail_sender", "a mail address, with or without a name; empty: the notifier's default"),
    ("mail_reply_to", "a mail address, with or without a name; empty: none"),
    ("brand_name", "the company's name as shown in mail; empty: none"),
    ("brand_logo", "the https URL of a picture; empty: none"),
    ("brand_colour", "a colour such as #1f5fd6; empty: blue"),
    ("locale", "en, de, fr or es: the language for users whose own language is not one of these"),
    ("learning_url", "the learning platform's home page, http or https; empty: the notifier's default"),
    (
        "retain_mail_days",
        "a number of days after which entries of the mail ledger are deleted; 0 means without limit",
    ),
    (
        "retain_assignments_days",
        "a number of days after their completion at which assignments are deleted; 0 means without limit",
    ),
    (
        "retain_archived_days",
        "a number of days after which archived users are deleted, with everything stored about them; 0 means never",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described() {
        let settings = serde_json::to_value(Settings::default()).unwrap();
        let mut known: Vec<&str> = settings.as_object().unwrap().keys().map(String::as_str).collect();
        let limits = LIMITS.iter().map(|row| row.key);
        let mut described: Vec<&str> = DESCRIBED.iter().map(|(key, _)| *key).chain(limits).collect();
        known.sort_unstable();
        described.sort_unstable();
        assert_eq!(known, described);
    }
}

//! The input of a mail's templates, and the rendered mail.

use domain::settings::{Locale, Mail};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::kind::Kind;

/// The input of a mail's templates.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    /// The kind of mail.
    pub kind: Kind,
    /// The tenant's name, which selects its own templates if it has any.
    pub tenant: &'a str,
    /// The tenant's mail settings.
    pub mail: &'a Mail,
    /// The default URL of the learning platform; the tenant's setting takes precedence.
    pub learning_url: &'a str,
    /// The user's own locale.
    pub locale: Option<&'a str>,
    /// The user's time zone (IANA).
    pub timezone: Option<&'a str>,
    /// The name in the salutation.
    pub given_name: &'a str,
    /// The user name for signing in.
    pub user_name: &'a str,
    /// The assigned content.
    pub items: &'a [Item],
    /// The link by which the user can unsubscribe.
    pub unsubscribe_url: Option<&'a str>,
}

/// Assigned content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The assignment's id; missing in rows that an earlier version stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    /// Whether it is a learning path rather than a lesson.
    pub path: bool,
    /// Its title.
    pub title: String,
    /// Its URL.
    pub url: String,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub due_by: Option<OffsetDateTime>,
}

/// A rendered mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The subject, a single line.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// Its language.
    pub locale: Locale,
}

impl Letter<'_> {
    /// The language of the mail: the user's if it is supported, otherwise the tenant's.
    #[must_use]
    pub fn language(&self) -> Locale {
        self.locale.and_then(Locale::of).unwrap_or(self.mail.locale)
    }
}

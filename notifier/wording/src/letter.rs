//! A letter: all that a mail's words are made from, and the words.

use serde::{Deserialize, Serialize};
use shared::settings::{Locale, Mail};
use time::OffsetDateTime;

use crate::kind::Kind;

/// All that a mail's words are made from.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    /// What kind of mail it is.
    pub kind: Kind,
    /// The tenant's name: it may have templates of its own.
    pub tenant: &'a str,
    /// What the tenant chose.
    pub mail: &'a Mail,
    /// The learning platform's front page, unless the tenant chose another.
    pub learning_url: &'a str,
    /// The person's own locale.
    pub locale: Option<&'a str>,
    /// The person's time zone (IANA).
    pub timezone: Option<&'a str>,
    /// How to address them.
    pub given_name: &'a str,
    /// What they sign in with.
    pub user_name: &'a str,
    /// What was assigned.
    pub items: &'a [Item],
    /// Where the person can say that they want no more of it.
    pub unsubscribe_url: Option<&'a str>,
}

/// Something that was assigned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The assignment's id; what was stored by the version before has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<String>,
    /// Whether it is a learning path; otherwise it is a lesson.
    pub path: bool,
    /// For people.
    pub title: String,
    /// Where to find it.
    pub url: String,
    /// When it is due.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub due_by: Option<OffsetDateTime>,
}

/// One mail's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub subject: String,
    /// As plain text.
    pub text: String,
    /// As HTML.
    pub html: String,
    /// The language that it is in.
    pub locale: Locale,
}

impl Letter<'_> {
    /// The language to write in: the person's own if mail is written in it, or else the tenant's.
    #[must_use]
    pub fn language(&self) -> Locale {
        self.locale.and_then(Locale::of).unwrap_or(self.mail.locale)
    }
}

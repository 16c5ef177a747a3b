//! What a client for an identity provider returns: a page of users, or why it could not be read.

use std::time::Duration;

use super::provider_user::ProviderUser;

/// A page of a group.
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The users who have not left.
    pub users: Vec<ProviderUser>,
    /// The link to the next page, unless this is the last.
    pub next: Option<String>,
    /// How long to wait before the next request, if this one used up the rate limit.
    pub pause: Option<Duration>,
}

/// Why a page could not be read. The text never quotes the provider's response body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Permanent: a retry would fail too.
    #[error("{0}")]
    Refused(String),
    /// Transient: a retry may succeed.
    #[error("{0}")]
    Away(String),
    /// The rate limit is reached. A retry may succeed after this time.
    #[error("the provider's rate limit is reached")]
    Limited(Duration),
    /// The link to the page has expired: start again with the first page.
    #[error("the provider rejects the link to a page (400 Bad Request)")]
    Expired,
}

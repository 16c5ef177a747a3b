//! The identity providers from which users can be pulled, and which one a pull uses.

use database::pulls::PullRow;
use domain::pull::AttributeMap;
use platform::clock::Clock;

use super::okta::Okta;
use super::page::{Failure, Page};

/// A client for a tenant's identity provider.
pub enum Provider {
    /// Okta's API.
    Okta(Okta),
}

impl Provider {
    /// Creates the client that a pull's configuration names. Sends nothing yet.
    ///
    /// # Errors
    /// Which stored setting is invalid. The message contains no secret.
    pub fn new(pull: &PullRow, map: AttributeMap, token: &str, clock: Clock) -> Result<Self, String> {
        Okta::new(&pull.okta_url, &pull.group_id, map, token, clock).map(Self::Okta)
    }

    /// The provider's name, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Okta(_) => "Okta",
        }
    }

    /// Reads the page at a link, or the first page.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn page(&self, link: Option<&str>) -> Result<Page, Failure> {
        match self {
            Self::Okta(okta) => okta.page(link).await,
        }
    }
}

//! Who asks, and whether they may.
//!
//! Before it: the request's headers. After it: the handlers, which know a tenant and a key.

mod credentials;
mod keyring;
mod uses;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use shared::clock::Clock;
use shared::postgres::Pool;
use shared::postgres::keys::Key;
use shared::postgres::tenants::Tenant;
use shared::scim::Error;

use self::credentials::Credentials;
use self::keyring::Keyring;
use self::uses::Uses;
use crate::app::Shared;
use crate::http::answer::Refusal;
use crate::http::observe::note;

/// A caller whose key opens SCIM.
pub struct Scim {
    /// The key.
    pub key: Arc<Key>,
    /// Whose roster it opens.
    pub tenant: Arc<Tenant>,
}

/// A caller whose key opens the events intake.
pub struct Events(pub Arc<Key>);

/// The gate.
pub struct Auth {
    keyring: Keyring,
    uses: Uses,
    clock: Clock,
}

impl Auth {
    /// A gate that knows no key yet. Call within a runtime.
    #[must_use]
    pub fn new(pool: Pool, clock: Clock) -> Self {
        Self { uses: Uses::start(pool.clone(), clock.clone()), keyring: Keyring::new(pool), clock }
    }

    /// The key that the headers show, if it is alive and opens `scope`.
    async fn admit(&self, headers: &HeaderMap, scope: &str) -> Result<Arc<Key>, Refusal> {
        let credentials = Credentials::of(headers).map_err(Error::unauthorized)?;
        let found = self.keyring.find(credentials.key()).await;
        let found = found
            .map_err(|_| Refusal::try_again("the API key cannot be checked at the moment; try again"))?;
        let fits = |key: &Arc<Key>| key.is_alive(self.clock.now()) && credentials.fit(&key.tenant_name);
        // One word for all cases: nobody should learn which half of a guess was right.
        let key = found.filter(fits).ok_or_else(|| {
            Error::unauthorized(
                "the user name or the API key is wrong, or the key was revoked or has expired",
            )
        })?;
        note("tenant", &key.tenant_name);
        note("key.id", key.id);
        self.uses.note(key.id);
        if key.scopes.iter().any(|opened| opened == scope) {
            Ok(key)
        } else {
            Err(Error::forbidden(format!("this API key lacks the scope {scope}")).into())
        }
    }
}

impl FromRequestParts<Shared> for Scim {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        let key = app.auth.admit(&parts.headers, "scim").await?;
        let tenant = app.tenants.find(key.tenant).await?;
        Ok(Self { key, tenant })
    }
}

impl FromRequestParts<Shared> for Events {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        app.auth.admit(&parts.headers, "events").await.map(Self)
    }
}

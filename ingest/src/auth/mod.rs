//! Who asks, and whether they may.
//!
//! Before it: the request's headers. After it: the handlers, which know a tenant and a key.

mod credentials;
mod failures;
mod judgements;
mod keyring;
mod uses;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use futures_util::FutureExt;
use shared::clock::Clock;
use shared::http::Peer;
use shared::postgres::Pool;
use shared::postgres::keys::Key;
use shared::postgres::tenants::Tenant;
use shared::scim::Error;
use tokio::time::sleep;
use uuid::Uuid;

use self::credentials::Credentials;
use self::failures::{Claim, Failures, SLOW, Way};
use self::judgements::{Judged, Judgements};
use self::keyring::{Keyring, digest};
use self::uses::Uses;
use crate::app::Shared;
use crate::gate::Place;
use crate::http::answer::Refusal;
use crate::http::observe::note;
use crate::pace::{Paces, Rate};

/// The most tenants whose requests are counted at a time.
const MOST_LIMITED: usize = 100_000;
/// What a key that cannot be judged now is told.
const NOT_CHECKED: &str = "the API key cannot be checked at the moment; try again";
/// What a wrong one is told. One word for all cases: nobody should learn which half of a guess was right.
const WRONG: &str = "the user name or the API key is wrong, or the key was revoked or has expired";

/// A caller whose key opens SCIM.
pub struct Scim {
    /// The key.
    pub key: Arc<Key>,
    /// Whose roster it opens.
    pub tenant: Arc<Tenant>,
    /// The request's place.
    pub place: Place,
}

/// The gate.
pub struct Auth {
    keyring: Keyring,
    failures: Failures,
    judgements: Judgements,
    uses: Uses,
    clock: Clock,
    limits: Paces<Uuid>,
}

impl Auth {
    /// A gate that knows no key yet. Call within a runtime.
    #[must_use]
    pub fn new(pool: Pool, clock: Clock) -> Self {
        Self {
            uses: Uses::start(pool.clone(), clock.clone()),
            keyring: Keyring::new(pool),
            failures: Failures::new(),
            judgements: Judgements::default(),
            clock,
            limits: Paces::new(MOST_LIMITED),
        }
    }

    /// The key that the credentials show, which was not known lately: found, unless too many wrong ones came in.
    async fn judge_unknown(&self, credentials: &Credentials, claims: &[Claim]) -> Judged {
        let way = self.failures.way(claims).await;
        if matches!(way, Way::Closed) {
            return Err(Refusal::try_again("too many wrong API keys came in; try again"));
        }
        let judged = self.judge(credentials).await;
        let is_wrong = judged.as_ref().is_err_and(Refusal::is_unauthorized);
        match way {
            Way::Free if !is_wrong => self.failures.forgive(claims),
            Way::Slow(_) if is_wrong => sleep(SLOW).await,
            _ => {}
        }
        judged
    }

    /// The key that the credentials show, if it is alive.
    async fn judge(&self, credentials: &Credentials) -> Judged {
        let found = self.keyring.find(credentials.key()).await;
        let found = found.map_err(|_| Refusal::try_again(NOT_CHECKED))?;
        let fits = |key: &Arc<Key>| key.is_alive(self.clock.now()) && credentials.fit(&key.tenant_name);
        Ok(found.filter(fits).ok_or_else(|| Error::unauthorized(WRONG))?)
    }

    /// Counts a request against what the tenant may ask in a second.
    fn limit(&self, tenant: &Tenant) -> Result<(), Refusal> {
        let limit = tenant.settings.requests_per_second;
        if limit == 0 {
            return Ok(());
        }
        self.limits.take(tenant.id, Rate::per_second(limit), Instant::now()).map_err(|wait| {
            Refusal::try_again_in(
                wait,
                format!("this tenant is limited to {limit} requests a second; try again"),
            )
        })
    }
}

/// Whoever has shown a key that opens `scope`, within what its tenant may have in hand and ask for.
async fn admit(parts: &Parts, app: &Shared, scope: &str) -> Result<Scim, Refusal> {
    let auth = &app.auth;
    let credentials = Credentials::of(&parts.headers).map_err(Error::unauthorized)?;
    let digest = digest(credentials.key());
    let (key, place) = match auth.keyring.known(&digest) {
        // The tenant is known, so that its own place is taken while the key is read again.
        Some(known) => {
            let place = app.enter(known.tenant)?;
            (auth.judge(&credentials).await?, place)
        }
        None => {
            let peer = parts.extensions.get().map(|Peer(address)| address.ip());
            let (address, user) = (Claim::address(peer), credentials.user().map(Claim::user));
            let claims: Vec<Claim> = std::iter::once(address).chain(user).collect();
            let all = app.clone();
            let judge = async move { all.auth.judge_unknown(&credentials, &claims).await };
            let key = auth.judgements.join((digest, user), || judge.boxed()).await?;
            let place = app.enter(key.tenant)?;
            (key, place)
        }
    };
    note("tenant", &key.tenant_name);
    note("key.id", key.id);
    auth.uses.note(key.id);
    if !key.scopes.iter().any(|opened| opened == scope) {
        return Err(Error::forbidden(format!("this API key lacks the scope {scope}")).into());
    }
    let tenant = app.tenants.find(key.tenant).await?;
    auth.limit(&tenant)?;
    Ok(Scim { key, tenant, place })
}

impl FromRequestParts<Shared> for Scim {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
        admit(parts, app, "scim").await
    }
}

// A caller whose key opens one scope, and who needs nothing else.
macro_rules! caller {
    ($name:ident, $scope:literal, $what:literal) => {
        #[doc = concat!("A caller whose key opens ", $what, ".")]
        pub struct $name {
            /// The key.
            pub key: Arc<Key>,
            /// The request's place.
            pub place: Place,
        }

        impl FromRequestParts<Shared> for $name {
            type Rejection = Refusal;

            async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Refusal> {
                let Scim { key, place, .. } = admit(parts, app, $scope).await?;
                Ok(Self { key, place })
            }
        }
    };
}

caller!(Events, "events", "the events intake");
caller!(Reports, "reports", "reports");
caller!(Activity, "activity", "the activity log");

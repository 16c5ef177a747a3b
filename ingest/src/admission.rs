//! Admission: which key a request presents, which tenant the key belongs to, and whether the tenant's share and rate
//! limit allow the request.

mod credentials;
mod failures;
mod keyring;
mod share;
mod single_flight;
mod uses;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use database::Pool;
use database::keys::Key;
use database::tenants::Tenant;
use futures_util::FutureExt;
use platform::clock::Clock;
use platform::http::{Connection, Peer};
use scim::Error;
use tokio::time::sleep;
use uuid::Uuid;

use self::credentials::Credentials;
use self::failures::{Failures, SLOW, Source, Way};
use self::keyring::{Keyring, digest};
use self::share::Shares;
use self::single_flight::{Checked, SingleFlight};
use self::uses::Uses;
use crate::http::observe::note;
use crate::http::response::Refusal;
use crate::rate_limit::{Rate, RateLimits};
use crate::tenants::Tenants;

pub use self::share::{Held, Permit};

/// The maximum number of tenants whose request rates are tracked.
const MAX_RATES: usize = 100_000;
/// The maximum number of requests in flight, over all tenants.
const MAX_REQUESTS: usize = 1_024;
/// The maximum total size of the bodies in flight, over all tenants, in KiB.
const MAX_BODIES: usize = 256 << 10;
/// The answer to a key that cannot be checked now.
const NOT_CHECKED: &str = "the API key cannot be checked at the moment; try again";
/// The answer to a wrong key. It is the same in all cases, so that nobody learns which half of a guess was right.
const WRONG: &str = "the user name or the API key is wrong, or the key was revoked or has expired";

/// A caller whose key has the scope `scim`.
pub struct Scim {
    /// The key.
    pub key: Arc<Key>,
    /// The key's tenant.
    pub tenant: Arc<Tenant>,
    /// The request's permit.
    pub permit: Permit,
}

/// Admits requests. Clones share everything.
#[derive(Clone)]
pub struct Admission(Arc<State>);

struct State {
    keyring: Keyring,
    failures: Failures,
    single_flight: SingleFlight,
    uses: Uses,
    clock: Clock,
    tenants: Tenants,
    limits: RateLimits<Uuid>,
    /// One unit for each request in flight whose tenant is known. The check of keys limits the others.
    requests: Shares,
    /// One unit for each KiB of their bodies.
    bodies: Shares,
}

impl Admission {
    /// Creates it without any cached key. Must be called within a Tokio runtime.
    #[must_use]
    pub fn new(pool: Pool, clock: Clock) -> Self {
        Self(Arc::new(State {
            uses: Uses::start(pool.clone(), clock.clone()),
            keyring: Keyring::new(pool.clone()),
            failures: Failures::new(),
            single_flight: SingleFlight::default(),
            clock,
            tenants: Tenants::new(pool),
            limits: RateLimits::new(MAX_RATES),
            requests: Shares::new(MAX_REQUESTS),
            bodies: Shares::new(MAX_BODIES),
        }))
    }

    /// A permit for a body of this many bytes.
    ///
    /// # Errors
    /// 429 if the tenant's share of bytes is used up.
    pub fn admit_body(&self, tenant: Uuid, size: usize) -> Result<Permit, Error> {
        self.0.bodies.acquire(tenant, size.div_ceil(1 << 10)).ok_or_else(|| {
            Error::too_many_requests(
                "this tenant has too many request bytes in flight; nothing was changed; try again",
            )
        })
    }

    /// Admits a caller whose key has the scope `scope`.
    ///
    /// # Errors
    /// 401 and 403; 429 if the tenant exceeds its share or rate limit, after too many wrong keys, and while a key
    /// cannot be checked.
    pub async fn admit(&self, parts: &Parts, scope: &str) -> Result<Scim, Refusal> {
        let state = &self.0;
        let credentials = Credentials::of(&parts.headers).map_err(Error::unauthorized)?;
        let digest = digest(credentials.key());
        let (key, permit) = match state.keyring.known(&digest) {
            // The tenant is known, so the request counts against its share while the key is read again.
            Some(known) => {
                let permit = state.enter(known.tenant)?;
                (state.check(&credentials).await?, permit)
            }
            None => {
                let peer = parts.extensions.get().map(|Peer(address)| address.ip());
                let (address, user) = (Source::address(peer), credentials.user().map(Source::user));
                let sources: Vec<Source> = std::iter::once(address).chain(user).collect();
                let all = Arc::clone(state);
                let check = async move { all.check_unknown(&credentials, &sources).await };
                let key = state.single_flight.join((digest, user), || check.boxed()).await?;
                let permit = state.enter(key.tenant)?;
                (key, permit)
            }
        };
        note("tenant", &key.tenant_name);
        note("key.id", key.id);
        state.uses.note(key.id);
        if let Some(connection) = parts.extensions.get::<Connection>() {
            connection.mark_known();
        }
        if !key.scopes.iter().any(|opened| opened == scope) {
            return Err(Error::forbidden(format!("this API key lacks the scope {scope}")).into());
        }
        let tenant = state.tenants.find(key.tenant).await?;
        state.limit(&tenant)?;
        Ok(Scim { key, tenant, permit })
    }
}

impl State {
    /// A permit for a request of this tenant.
    fn enter(&self, tenant: Uuid) -> Result<Permit, Refusal> {
        self.requests.acquire(tenant, 1).ok_or_else(|| {
            Refusal::try_again("this tenant has too many requests in flight; nothing was changed; try again")
        })
    }

    /// Verifies a key that is not cached, unless there were too many wrong keys.
    async fn check_unknown(&self, credentials: &Credentials, sources: &[Source]) -> Checked {
        let way = self.failures.way(sources).await;
        if matches!(way, Way::Closed) {
            return Err(Refusal::try_again("too many wrong API keys; try again"));
        }
        let checked = self.check(credentials).await;
        let is_wrong = checked.as_ref().is_err_and(Refusal::is_unauthorized);
        match way {
            Way::Free if !is_wrong => self.failures.forgive(sources),
            Way::Slow(_) if is_wrong => sleep(SLOW).await,
            _ => {}
        }
        checked
    }

    /// Verifies the key: it must exist, not be revoked or expired, and belong to the named tenant.
    async fn check(&self, credentials: &Credentials) -> Checked {
        let found = self.keyring.find(credentials.key()).await;
        let found = found.map_err(|_| Refusal::try_again(NOT_CHECKED))?;
        let fits = |key: &Arc<Key>| key.is_alive(self.clock.now()) && credentials.fit(&key.tenant_name);
        Ok(found.filter(fits).ok_or_else(|| Error::unauthorized(WRONG))?)
    }

    /// Counts a request against the tenant's rate limit.
    fn limit(&self, tenant: &Tenant) -> Result<(), Refusal> {
        let limit = tenant.settings.requests_per_second;
        if limit == 0 {
            return Ok(());
        }
        self.limits.acquire(tenant.id, Rate::per_second(limit), Instant::now()).map_err(|wait| {
            Refusal::try_again_in(
                wait,
                format!("this tenant is limited to {limit} requests a second; try again"),
            )
        })
    }
}

impl<S> FromRequestParts<S> for Scim
where
    Admission: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Admission::from_ref(state).admit(parts, "scim").await
    }
}

// A caller whose key has the named scope, for handlers that need only the key.
macro_rules! caller {
    ($name:ident, $scope:literal, $what:literal) => {
        #[doc = concat!("A caller whose key gives access to ", $what, ".")]
        pub struct $name {
            /// The key.
            pub key: Arc<Key>,
            /// The request's permit.
            pub permit: Permit,
        }

        impl<S> FromRequestParts<S> for $name
        where
            Admission: FromRef<S>,
            S: Send + Sync,
        {
            type Rejection = Refusal;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
                let Scim { key, permit, .. } = Admission::from_ref(state).admit(parts, $scope).await?;
                Ok(Self { key, permit })
            }
        }
    };
}

caller!(Events, "events", "the events intake");
caller!(Reports, "reports", "reports");
caller!(Activity, "activity", "the activity log");

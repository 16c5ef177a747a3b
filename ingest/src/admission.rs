//! Admission: which key a request presents, which tenant the key belongs to, and whether the tenant's share and rate
//! limit allow the request.

mod credentials;
mod failures;
mod keyring;
mod lookups;
mod networks;
mod presented;
mod share;
mod uses;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use database::changes::{News, follow};
use database::keys::Key;
use database::tenants::Tenant;
use database::{Limits, Pool};
use platform::clock::Clock;
use platform::http::{Connection, Peer};
use scim::Error;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use self::credentials::Credentials;
use self::failures::{Failures, SLOW, Source, Way};
use self::keyring::Keyring;
use self::presented::Presented;
use self::share::Shares;
use self::uses::Uses;
use crate::http::observe::note;
use crate::http::response::Refusal;
use crate::rate_limit::{Rate, RateLimits};
use crate::read_through::{Presence, Unread};
use crate::refusals::Attribution;
use crate::tenants::Tenants;

pub use self::share::{Held, Permit};

/// The maximum number of tenants whose request rates are tracked.
const MAX_RATES: usize = 100_000;
/// The maximum number of requests in flight, over all tenants.
const MAX_REQUESTS: usize = 1_024;
/// The maximum total size of the bodies in flight, over all tenants, in KiB.
const MAX_BODIES: usize = 256 << 10;
/// The number of connections for reading keys and tenants. Nothing else uses them, and unknown keys use one at most.
const CONNECTIONS: usize = 3;
/// Their limits: who waits for longer is answered 429.
const LIMITS: Limits = Limits { statement: Duration::from_secs(2), lock: Duration::from_secs(1) };
/// The maximum total size of the responses that are being sent, over all tenants, in KiB.
const MAX_ANSWERS: usize = 128 << 10;
/// The most that one response counts, in KiB, so that a response of any size can be sent.
const MAX_ANSWER: usize = MAX_ANSWERS / 4;
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
    uses: Uses,
    clock: Clock,
    tenants: Tenants,
    limits: RateLimits<Uuid>,
    /// One unit for each request in flight whose tenant is known. The check of keys limits the others.
    requests: Shares,
    /// One unit for each KiB of their bodies.
    bodies: Shares,
    /// Ends the task that follows changes.
    _following: DropGuard,
    /// One unit for each KiB of their responses.
    answers: Shares,
}

impl Admission {
    /// Creates it without any cached key. It opens connections of its own beside `pool`: for keys and tenants, and for
    /// their changes. Must be called within a Tokio runtime.
    #[must_use]
    pub fn new(pool: Pool, clock: Clock) -> Self {
        let (own, presence) = (pool.beside(CONNECTIONS, LIMITS), Presence::default());
        let keyring = Keyring::new(own.clone(), presence.clone());
        let tenants = Tenants::new(own, presence.clone());
        let stop = CancellationToken::new();
        let follower = follower(keyring.clone(), tenants.clone(), presence);
        tokio::spawn(follow(pool.clone(), stop.clone(), follower));
        Self(Arc::new(State {
            uses: Uses::start(pool, clock.clone()),
            keyring,
            failures: Failures::new(),
            clock,
            tenants,
            limits: RateLimits::new(MAX_RATES),
            requests: Shares::new(MAX_REQUESTS),
            bodies: Shares::new(MAX_BODIES),
            _following: stop.drop_guard(),
            answers: Shares::new(MAX_ANSWERS),
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

    /// A permit for a response of this many bytes, to be held until it is sent.
    ///
    /// # Errors
    /// 429 if the tenant's share is used up by responses that its clients have not read.
    pub fn admit_answer(&self, tenant: Uuid, size: usize) -> Result<Permit, Error> {
        self.0.answers.acquire(tenant, size.div_ceil(1 << 10).min(MAX_ANSWER)).ok_or_else(|| {
            Error::too_many_requests(
                "this tenant has too many response bytes in flight; read the pending responses, then try again",
            )
        })
    }

    /// The same for the response to a change, which is sent in any case.
    #[must_use]
    pub fn count_answer(&self, tenant: Uuid, size: usize) -> Permit {
        self.0.answers.take(tenant, size.div_ceil(1 << 10).min(MAX_ANSWER))
    }

    /// Admits a caller whose key has the scope `scope`.
    ///
    /// # Errors
    /// 401 and 403; 429 if the tenant exceeds its share or rate limit, if the key is wrong after too many wrong ones,
    /// and while a key cannot be checked.
    pub async fn admit(&self, parts: &Parts, scope: &str) -> Result<Scim, Refusal> {
        let state = &self.0;
        let credentials = Credentials::of(&parts.headers).map_err(Error::unauthorized)?;
        let (key, permit) = match state.check(&credentials, parts.extensions.get()).await? {
            Ok(admitted) => admitted,
            Err(same) => {
                let peer = parts.extensions.get().map(|Peer(address)| address.ip());
                let user = credentials.user().map(Source::user);
                let unknown = || std::iter::once(Source::address(peer)).chain(user).collect();
                return Err(state.wrong(&same.map_or_else(unknown, |key| vec![Source::Key(key)])).await);
            }
        };
        note("tenant", &key.tenant_name);
        note("key.id", key.id);
        networks::check(&key, &parts.extensions)?;
        state.uses.note(key.id);
        if let Some(connection) = parts.extensions.get::<Connection>() {
            connection.mark_known();
        }
        if !key.opens(scope) {
            return Err(Error::forbidden(format!("this API key lacks the scope {scope}")).into());
        }
        let tenant = state.tenants.find(key.tenant).await?;
        state.limit(&tenant)?;
        Ok(Scim { key, tenant, permit })
    }

    /// Checks again a key whose request has waited since it was admitted.
    ///
    /// # Errors
    /// 401 if it was revoked or has expired since, 429 while it cannot be checked.
    pub async fn recheck(&self, key: &Key) -> Result<(), Refusal> {
        let Ok(prefix) = key.prefix.as_bytes().try_into() else { return Ok(()) };
        let found = self.0.keyring.find(&prefix).await.map_err(not_checked)?;
        if found.is_some_and(|found| found.id == key.id && found.is_alive(self.0.clock.now())) {
            return Ok(());
        }
        Err(Error::unauthorized(WRONG).into())
    }
}

/// Keeps the caches up to date with the changes in the database.
fn follower(keyring: Keyring, tenants: Tenants, presence: Presence) -> impl FnMut(News) + Send {
    move |news| match news {
        News::Following => {
            keyring.doubt();
            tenants.doubt();
            presence.set_away(false);
        }
        News::Changed(tenant) => {
            keyring.forget(tenant);
            tenants.forget(tenant);
        }
        News::Away => presence.set_away(true),
    }
}

/// The refusal of a request whose key cannot be read.
fn not_checked(_: Unread) -> Refusal {
    Refusal::try_again(NOT_CHECKED)
}

/// A valid key with a permit for a request of its tenant; or the id of the key that has the same public part as the
/// wrong one, if there is one.
type Checked = Result<(Arc<Key>, Permit), Option<Uuid>>;

impl State {
    /// A permit for a request of this tenant.
    fn enter(&self, tenant: Uuid) -> Result<Permit, Refusal> {
        self.requests.acquire(tenant, 1).ok_or_else(|| {
            Refusal::try_again("this tenant has too many requests in flight; nothing was changed; try again")
        })
    }

    /// Verifies the key: it must exist, not be revoked or expired, and belong to the named tenant. A request whose secret
    /// is right is attributed to its key, also if it is refused.
    async fn check(
        &self,
        credentials: &Credentials,
        attribution: Option<&Attribution>,
    ) -> Result<Checked, Refusal> {
        let Some(presented) = Presented::of(credentials.key()) else { return Ok(Err(None)) };
        // Whether the secret is right.
        let is_ours = |key: &Arc<Key>| {
            let is_ours = presented.is(key);
            if let Some(attribution) = attribution.filter(|_| is_ours) {
                attribution.set(key);
            }
            is_ours
        };
        let known = self.keyring.known(&presented.prefix).filter(is_ours);
        // If the tenant is known, the request counts against its share while the key is read again.
        let permit = known.map(|key| self.enter(key.tenant)).transpose()?;
        let found = self.keyring.find(&presented.prefix).await.map_err(not_checked)?;
        let Some(key) = found else { return Ok(Err(None)) };
        let is_right = is_ours(&key) && key.is_alive(self.clock.now()) && credentials.fit(&key.tenant_name);
        if !is_right {
            return Ok(Err(Some(key.id)));
        }
        let permit = match permit {
            Some(permit) => permit,
            None => self.enter(key.tenant)?,
        };
        Ok(Ok((key, permit)))
    }

    /// The answer to a wrong key. It is late, or 429, if there were too many from one of these sources.
    async fn wrong(&self, sources: &[Source]) -> Refusal {
        match self.failures.way(sources).await {
            Way::Free => {}
            Way::Slow(_lane) => sleep(SLOW).await,
            Way::Closed => return Refusal::try_again("too many wrong API keys; try again"),
        }
        Error::unauthorized(WRONG).into()
    }

    /// Counts a request against the tenant's rate limit.
    fn limit(&self, tenant: &Tenant) -> Result<(), Refusal> {
        let limits = &tenant.settings.limits;
        let limit = limits.requests_per_second.get();
        if limit == 0 {
            return Ok(());
        }
        self.limits.acquire(tenant.id, Rate::per_second(limit), Instant::now()).map_err(|wait| {
            let reached = limits.requests_per_second();
            let detail =
                format!("this tenant is limited to {limit} requests a second ({reached}); try again");
            Refusal::try_again_in(wait, detail)
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
            /// The key's tenant.
            pub tenant: Arc<Tenant>,
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
                let Scim { key, tenant, permit } = Admission::from_ref(state).admit(parts, $scope).await?;
                Ok(Self { key, tenant, permit })
            }
        }
    };
}

caller!(Events, "events", "the events intake");
caller!(Reports, "reports", "reports");
caller!(Activity, "activity", "the activity log");

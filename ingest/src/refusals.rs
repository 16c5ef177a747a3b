//! The audit trail of refused requests: those of a known key, summed per minute. They are recorded in memory and written
//! in the background, so that no answer waits for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use database::keys::Key;
use database::schema::refusals::dsl;
use database::{Error, Pool};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use platform::clock::Clock;
use platform::http::Peer;
use serde_json::json;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::http::observe::method;
use crate::http::response::Shown;

/// The statuses of refusals. A worker's verdicts (404, 409, 412) are in the activity log.
const STATUSES: [u16; 9] = [400, 401, 403, 405, 408, 413, 414, 415, 429];
/// The maximum number of different refusals of a tenant in a minute. Further ones are summed up in one row.
const MAX_KINDS: usize = 50;
/// The maximum number of different refusals of all tenants in a minute.
const MAX_ALL: usize = 10_000;
/// The detail of refusals beyond [`MAX_KINDS`].
const OTHERS: &str = "(others)";
/// The maximum length of a stored detail, in characters.
const MAX_DETAIL: usize = 300;

/// The key that a request presented, once it is known. The handler's extractor sets it.
#[derive(Clone, Default)]
pub struct Attribution(Arc<OnceLock<Arc<Key>>>);

impl Attribution {
    /// Attributes the request to a key.
    pub fn set(&self, key: &Arc<Key>) {
        // A second call is about the same key.
        let _ = self.0.set(Arc::clone(key));
    }
}

/// What is the same for the refusals of one row.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Kind {
    tenant: Uuid,
    key: String,
    address: Option<IpAddr>,
    method: &'static str,
    route: String,
    status: u16,
    scim_type: Option<String>,
    detail: String,
}

/// The refusals of the current minute. Clones share them.
#[derive(Clone)]
pub struct Refusals {
    counts: Arc<Mutex<HashMap<Kind, i64>>>,
    pool: Pool,
    clock: Clock,
}

/// Handles a request, and records it if it is refused and its key is known.
pub async fn record(State(refusals): State<Refusals>, mut request: Request, next: Next) -> Response {
    let attribution = Attribution::default();
    request.extensions_mut().insert(attribution.clone());
    let address = request.extensions().get().map(|Peer(address)| address.ip());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = method(request.method());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    if STATUSES.contains(&status)
        && let Some(key) = attribution.0.get()
    {
        let error = response.extensions().get::<Shown>().map(|Shown(error)| error);
        let detail = error.map_or("", |error| error.detail.as_str()).chars().take(MAX_DETAIL).collect();
        let scim_type = error.and_then(|error| json!(error.scim_type).as_str().map(str::to_owned));
        let route = route.as_ref().map_or("none", MatchedPath::as_str).to_owned();
        let (tenant, key) = (key.tenant, key.prefix.clone());
        refusals.note(Kind { tenant, key, address, method, route, status, scim_type, detail });
    }
    response
}

impl Refusals {
    /// An empty record.
    #[must_use]
    pub fn new(pool: Pool, clock: Clock) -> Self {
        Self { counts: Arc::default(), pool, clock }
    }

    fn note(&self, mut kind: Kind) {
        let mut counts = self.counts();
        if !counts.contains_key(&kind) {
            let kinds = counts.keys().filter(|other| other.tenant == kind.tenant).count();
            if kinds >= MAX_KINDS || counts.len() >= MAX_ALL {
                kind = Kind {
                    address: None,
                    method: "other",
                    route: OTHERS.to_owned(),
                    scim_type: None,
                    detail: OTHERS.to_owned(),
                    ..kind
                };
            }
            if counts.len() >= 2 * MAX_ALL && !counts.contains_key(&kind) {
                return;
            }
        }
        *counts.entry(kind).or_default() += 1;
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Kind, i64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the refusals of each minute after its end, and the last ones when `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let minute = start_of_minute(self.clock.now());
            let rest = minute + Duration::from_secs(60) - self.clock.now();
            let is_last = tokio::select! {
                () = tokio::time::sleep(rest.try_into().unwrap_or_default()) => false,
                () = stop.cancelled() => true,
            };
            let counts = std::mem::take(&mut *self.counts());
            let rows = counts.len();
            if let Err(error) = self.write(minute, counts).await {
                warn!(%error, rows, "failed to record refused requests");
            }
            if is_last {
                return;
            }
        }
    }

    async fn write(&self, minute: OffsetDateTime, counts: HashMap<Kind, i64>) -> Result<(), Error> {
        if counts.is_empty() {
            return Ok(());
        }
        let counts: Vec<_> = counts.into_iter().collect();
        // PostgreSQL takes at most 65,535 parameters.
        for some in counts.chunks(1_000) {
            let rows: Vec<_> = some.iter().map(|(kind, count)| row(minute, kind, *count)).collect();
            self.pool
                .bounded(async |connection| {
                    let insert = diesel::insert_into(dsl::refusals).values(&rows);
                    Ok(insert.execute(connection).await.map(drop)?)
                })
                .await?;
        }
        Ok(())
    }
}

fn start_of_minute(now: OffsetDateTime) -> OffsetDateTime {
    now.replace_second(0).and_then(|now| now.replace_nanosecond(0)).unwrap_or(now)
}

/// A row of the table. The columns are those of [`Kind`], and the number of requests.
#[derive(Insertable)]
#[diesel(table_name = database::schema::refusals)]
struct NewRefusal<'a> {
    id: Uuid,
    minute: OffsetDateTime,
    tenant_id: Uuid,
    key: &'a str,
    address: String,
    method: &'static str,
    route: &'a str,
    status: i16,
    scim_type: Option<&'a str>,
    detail: &'a str,
    count: i64,
}

fn row(minute: OffsetDateTime, kind: &Kind, count: i64) -> NewRefusal<'_> {
    NewRefusal {
        id: platform::id::new(),
        minute,
        tenant_id: kind.tenant,
        key: &kind.key,
        address: kind.address.map_or_else(|| OTHERS.to_owned(), |address| address.to_string()),
        method: kind.method,
        route: &kind.route,
        status: i16::try_from(kind.status).unwrap_or(i16::MAX),
        scim_type: kind.scim_type.as_deref(),
        detail: &kind.detail,
        count,
    }
}

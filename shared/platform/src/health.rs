//! Liveness and readiness: the pages `/healthz` and `/readyz`.
//!
//! A service is ready from the first moment at which all its dependencies are available until it begins to stop. If a
//! dependency becomes unavailable later, the body of `/readyz` shows it, but the status stays 200: a load balancer
//! would otherwise remove every instance at once, and clients would get its error instead of our 429.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::headers;
use crate::http::{self, Fault, Limits};
use crate::shutdown::Stopping;

/// Why a dependency is unavailable. `/readyz` needs no credentials, so this is one of our own phrases, never a driver's
/// message; the details belong in the log.
pub type Reason = &'static str;

/// The reason for a dependency that cannot be reached.
pub const AWAY: Reason = "away";

/// The state of a service and its dependencies. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<RwLock<State>>);

#[derive(Debug, Default)]
struct State {
    dependencies: BTreeMap<&'static str, Result<(), Reason>>,
    /// Other problems, while they last.
    complaints: BTreeMap<&'static str, Reason>,
    /// Whether all dependencies were available at the same time.
    has_begun: bool,
    is_leaving: bool,
}

impl State {
    fn is_ready(&self) -> bool {
        self.has_begun && !self.is_leaving
    }
}

impl Health {
    /// All dependencies count as unavailable until [`Self::set`] reports otherwise.
    #[must_use]
    pub fn new(dependencies: &[&'static str]) -> Self {
        let starting = |name: &&'static str| (*name, Err("not reached yet"));
        let dependencies = dependencies.iter().map(starting).collect();
        Self(Arc::new(RwLock::new(State { dependencies, ..State::default() })))
    }

    /// Records the state of a dependency or of something else. The latter is shown only while it has a problem, and
    /// does not affect readiness. Returns whether the state has changed, and so should be logged.
    pub fn set(&self, name: &'static str, state: Result<(), Reason>) -> bool {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.dependencies.get_mut(name) {
            let before = std::mem::replace(known, state);
            all.has_begun |= all.dependencies.values().all(Result::is_ok);
            return before != state;
        }
        match state {
            Ok(()) => all.complaints.remove(name).is_some(),
            Err(reason) => all.complaints.insert(name, reason) != Some(reason),
        }
    }

    /// Marks the service as stopping: it is not ready, whatever the state of its dependencies.
    pub fn stopping(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).is_leaving = true;
    }

    /// Whether all dependencies were available at some moment and the service is not stopping.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_ready()
    }

    /// `GET /healthz` (200 while the process runs) and `GET /readyz` (200 or 503, with the state of each dependency).
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let health = self.clone();
        Router::new()
            .route("/healthz", get(|| async { Json(json!({ "status": "alive" })) }))
            .route("/readyz", get(move || async move { health.page() }))
    }

    fn page(&self) -> Response {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut states: BTreeMap<_, _> =
            all.dependencies.iter().map(|(name, state)| (*name, state.err().unwrap_or("ok"))).collect();
        states.extend(&all.complaints);
        if all.is_leaving {
            states.insert("service", "stopping");
        }
        let (status, word) = if all.is_ready() {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        };
        (status, Json(json!({ "status": word, "dependencies": states }))).into_response()
    }
}

/// Serves only these two pages until `stop`, for a service without another HTTP port.
///
/// # Errors
/// When the port is taken.
pub async fn serve(
    address: Option<SocketAddr>,
    health: &Health,
    stop: &CancellationToken,
) -> Result<(), String> {
    let Some(address) = address else { return Ok(()) };
    let listener = http::listen(address).map_err(|e| {
        format!("cannot listen on {address}: {e}. Set ROLLCALL_HEALTH_PORT to a free port, or to 0")
    })?;
    let stopping = Stopping { leaving: stop.clone(), stop: stop.clone() };
    // The inner router also answers unknown paths, which a layer of its routes would not see.
    let router = Router::new().fallback_service(health.router()).layer(map_response(headers::protect));
    let limits = Limits::default();
    tokio::spawn(http::serve(listener, router, unreadable, limits, stopping, Duration::ZERO));
    Ok(())
}

/// The answer to input that is not HTTP, in the form of the pages.
fn unreadable(fault: Fault) -> (&'static str, String) {
    ("application/json", json!({ "error": fault.status().to_string() }).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    async fn page(health: &Health) -> (u16, Value) {
        let response = health.page();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_service_is_ready_once_all_dependencies_were_available_at_the_same_time() {
        let health = Health::new(&["postgres", "rabbitmq"]);
        health.set("postgres", Ok(()));
        health.set("postgres", Err(AWAY));
        health.set("rabbitmq", Ok(()));
        let dependencies = json!({ "postgres": "away", "rabbitmq": "ok" });
        let body = json!({ "status": "not ready", "dependencies": dependencies });
        assert_eq!(page(&health).await, (503, body), "each was available once, but never both");
        health.set("postgres", Ok(()));
        let dependencies = json!({ "postgres": "ok", "rabbitmq": "ok" });
        assert_eq!(page(&health).await, (200, json!({ "status": "ready", "dependencies": dependencies })));
    }

    #[tokio::test]
    async fn it_stays_ready_and_names_a_dependency_that_is_unavailable() {
        let health = Health::new(&["postgres", "rabbitmq"]);
        for name in ["postgres", "rabbitmq"] {
            health.set(name, Ok(()));
        }
        health.set("rabbitmq", Err(AWAY));
        let dependencies = json!({ "postgres": "ok", "rabbitmq": "away" });
        assert_eq!(page(&health).await, (200, json!({ "status": "ready", "dependencies": dependencies })));
        health.stopping();
        health.set("rabbitmq", Ok(()));
        let (status, body) = page(&health).await;
        assert_eq!((status, &body["dependencies"]["service"]), (503, &json!("stopping")));
        assert!(!health.is_ready(), "a stopping service is not ready");
    }

    #[tokio::test]
    async fn other_problems_are_shown_only_while_they_last() {
        let health = Health::new(&["postgres"]);
        assert!(!health.set("clock", Ok(())), "it had no problem");
        assert!(health.set("clock", Err("behind")));
        assert!(!health.set("clock", Err("behind")));
        health.set("postgres", Ok(()));
        let (status, body) = page(&health).await;
        assert_eq!((status, &body["dependencies"]), (200, &json!({ "postgres": "ok", "clock": "behind" })));
        assert!(health.set("clock", Ok(())));
        assert_eq!(page(&health).await.1["dependencies"], json!({ "postgres": "ok" }));
    }

    #[test]
    fn a_change_is_reported_once() {
        let health = Health::new(&["postgres"]);
        assert!(health.set("postgres", Err(AWAY)), "the first reason was another");
        assert!(!health.set("postgres", Err(AWAY)));
        assert!(health.set("postgres", Err("it is read-only")), "another reason");
        assert!(health.set("postgres", Ok(())));
        assert!(!health.set("postgres", Ok(())));
    }
}

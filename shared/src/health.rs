//! Whether a service can do its work, and the two pages that say so: `/healthz` and `/readyz`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::shutdown::Stopping;

/// The state of everything that a service depends on. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<RwLock<BTreeMap<&'static str, Result<(), String>>>>);

impl Health {
    /// All of these are down until they are said to be up.
    #[must_use]
    pub fn new(dependencies: &[&'static str]) -> Self {
        let starting = |name: &&'static str| (*name, Err("not reached yet".to_owned()));
        Self(Arc::new(RwLock::new(dependencies.iter().map(starting).collect())))
    }

    /// Notes the state of a dependency: `Err` holds the reason, without secrets. Says whether it changed.
    pub fn set(&self, name: &'static str, state: Result<(), String>) -> bool {
        let mut all = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = all.insert(name, state.clone());
        before.is_none_or(|before| before.is_ok() != state.is_ok())
    }

    /// The service is on its way out: not ready, whatever its dependencies say.
    pub fn stopping(&self) {
        self.set("service", Err("stopping".to_owned()));
    }

    /// Whether all dependencies are up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).values().all(Result::is_ok)
    }

    /// `GET /healthz` (200 while the process lives) and `GET /readyz` (200 or 503, with a reason per dependency).
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let health = self.clone();
        Router::new()
            .route("/healthz", get(|| async { Json(json!({ "status": "alive" })) }))
            .route("/readyz", get(move || async move { health.page() }))
    }

    fn page(&self) -> Response {
        let all = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ready = all.values().all(Result::is_ok);
        let states: BTreeMap<_, _> = all
            .iter()
            .map(|(name, state)| (*name, state.as_ref().map_or_else(String::as_str, |()| "ok")))
            .collect();
        let (status, word) =
            if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
        (status, Json(json!({ "status": word, "dependencies": states }))).into_response()
    }
}

/// Serves the two pages alone, for a service that serves nothing else, until `stop`.
///
/// # Errors
/// When the port is taken.
pub async fn serve(
    address: Option<SocketAddr>,
    health: &Health,
    stop: &CancellationToken,
) -> Result<(), String> {
    let Some(address) = address else { return Ok(()) };
    let listener = TcpListener::bind(address).await.map_err(|e| {
        format!("cannot listen on {address}: {e}. Set ROLLCALL_HEALTH_PORT to a free port, or to 0")
    })?;
    let stopping = Stopping { leaving: stop.clone(), stop: stop.clone() };
    tokio::spawn(crate::http::serve(listener, health.router(), unreadable, stopping, Duration::ZERO));
    Ok(())
}

/// What is not HTTP is told so in the form of the pages.
fn unreadable(status: StatusCode) -> (&'static str, String) {
    ("application/json", json!({ "error": status.to_string() }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_when_all_its_dependencies_are() {
        let health = Health::new(&["postgres", "rabbitmq"]);
        assert!(health.set("postgres", Ok(())));
        assert!(!health.is_ready());
        assert!(health.set("rabbitmq", Ok(())));
        assert!(!health.set("rabbitmq", Ok(())), "no change");
        assert!(health.is_ready());
        health.stopping();
        assert_eq!(health.page().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

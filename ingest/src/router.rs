//! Which path and method leads where.
//!
//! Before it: the HTTP server. After it: the handlers; what leads nowhere is answered here, as a SCIM error too.

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, any, get, post};
use shared::health::Health;
use shared::scim::Error;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::app::Shared;
use crate::http::answer::Refusal;
use crate::http::{observe, panics};
use crate::scim::{BASE_PATH, discovery, groups, users};
use crate::{events, scim};

/// Everything that the server answers.
pub fn router(app: Shared, health: &Health) -> Router {
    Router::new()
        .merge(scim_at("/Users", get(scim::list::users).post(users::create)))
        .merge(scim_at(
            "/Users/{id}",
            get(users::read).put(users::replace).patch(users::patch).delete(users::delete),
        ))
        .merge(scim_at("/Groups", get(groups::list).post(groups::create)))
        .merge(scim_at(
            "/Groups/{id}",
            get(groups::one).put(groups::one).patch(groups::one).delete(groups::one),
        ))
        .merge(scim_at("/ServiceProviderConfig", get(discovery::service_provider_config)))
        .merge(scim_at("/ResourceTypes", get(discovery::resource_types)))
        .merge(scim_at("/ResourceTypes/{id}", get(discovery::resource_type)))
        .merge(scim_at("/Schemas", get(discovery::schemas)))
        .merge(scim_at("/Schemas/{id}", get(discovery::schema)))
        .merge(scim_at("/Me", any(scim::not_implemented)))
        .merge(scim_at("/Bulk", any(scim::not_implemented)))
        .merge(scim_at("/.search", any(scim::not_implemented)))
        .route("/events", post(events::take))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panics::answer))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .layer(CompressionLayer::new())
        .merge(health.router())
        .with_state(app)
}

/// A path below the base, with and without a slash at its end.
fn scim_at(path: &str, methods: MethodRouter<Shared>) -> Router<Shared> {
    let path = format!("{BASE_PATH}{path}");
    Router::new().route(&format!("{path}/"), methods.clone()).route(&path, methods)
}

async fn no_such_path() -> Refusal {
    Error::not_found(format!("there is nothing at this path; SCIM is served below {BASE_PATH}")).into()
}

/// axum adds the `Allow` header.
async fn no_such_method(method: Method) -> Refusal {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let method = known.into_iter().find(|known| *known == method.as_str()).unwrap_or("this method");
    Error::method_not_allowed(format!("{method} is not allowed here; the Allow header says what is")).into()
}

#[cfg(test)]
mod tests;

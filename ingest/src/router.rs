//! Which path and method leads where.
//!
//! Before it: the HTTP server. After it: the handlers; what leads nowhere is answered here, as a SCIM error too.

use axum::http::Method;
use axum::middleware::{from_fn, map_request};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Extension, Router};
use shared::health::Health;
use shared::scim::Error;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::app::Shared;
use crate::http::answer::Refusal;
use crate::http::{observe, panics, path};
use crate::scim::kind::Kind;
use crate::scim::{BASE_PATH, asynchronous, bulk, discovery, list, resources};
use crate::{events, reports, scim, unsubscribe};

/// Everything that the server answers.
pub fn router(app: Shared, health: &Health) -> Router {
    // A layer of the router that knows the paths would see a request after its path was looked up.
    Router::new().fallback_service(routes(app, health)).layer(map_request(path::normalise))
}

fn routes(app: Shared, health: &Health) -> Router {
    Router::new()
        .merge(resources(Kind::User))
        .merge(resources(Kind::Group))
        .merge(scim_at("", get(list::of_all)))
        .merge(scim_at("/.search", post(list::search_all)))
        .merge(scim_at("/Bulk", post(bulk::perform)))
        .merge(scim_at("/Async/{txn}", get(asynchronous::outcome)))
        .merge(scim_at("/ServiceProviderConfig", get(discovery::service_provider_config)))
        .merge(scim_at("/ResourceTypes", get(discovery::resource_types)))
        .merge(scim_at("/ResourceTypes/{id}", get(discovery::resource_type)))
        .merge(scim_at("/Schemas", get(discovery::schemas)))
        .merge(scim_at("/Schemas/{id}", get(discovery::schema)))
        .merge(scim_at("/Me", any(scim::not_implemented)))
        .route("/events", post(events::take))
        .route("/reports/{name}", get(reports::report))
        .route("/activity", get(reports::activity))
        .route("/unsubscribe/{token}", get(unsubscribe::ask).post(unsubscribe::take))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panics::answer))
        .layer(from_fn(observe::observe))
        .layer(CompressionLayer::new())
        .merge(health.router())
        .with_state(app)
}

/// The paths of one kind of resource.
fn resources(kind: Kind) -> Router<Shared> {
    let endpoint = kind.endpoint();
    let one = get(resources::read).put(resources::replace).patch(resources::patch).delete(resources::delete);
    Router::new()
        .merge(scim_at(endpoint, get(list::of_kind).post(resources::create)))
        .merge(scim_at(&format!("{endpoint}/.search"), post(list::search_kind)))
        .merge(scim_at(&format!("{endpoint}/{{id}}"), one))
        .layer(Extension(kind))
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

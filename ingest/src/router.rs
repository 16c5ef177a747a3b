//! The routes. Unknown paths and methods are answered with SCIM errors.

use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state, map_request, map_response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Extension, Router};
use platform::headers;
use platform::health::Health;
use scim::Error;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::app::Shared;
use crate::endpoints::kind::Kind;
use crate::endpoints::{asynchronous, bulk, discovery, list, resources};
use crate::http::base_url::BASE_PATH;
use crate::http::response::Refusal;
use crate::http::{observe, panics, path, sent};
use crate::{endpoints, events, refusals, reports, unsubscribe};

/// All routes of the server.
pub fn router(app: Shared, health: &Health) -> Router {
    // A layer of the inner router would run after the path was matched, and not see the health pages.
    Router::new()
        .fallback_service(routes(app, health))
        .layer(map_request(path::normalize))
        .layer(map_response(headers::protect))
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
        .merge(scim_at("/Me", any(endpoints::not_implemented)))
        .route("/events", post(events::receive))
        .route("/reports/{name}", get(reports::report))
        .route("/activity", get(reports::activity))
        .route("/unsubscribe/{token}", get(unsubscribe::ask).post(unsubscribe::change))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(panics::respond))
        .layer(from_fn_with_state(app.refusals.clone(), refusals::record))
        .layer(from_fn(observe::observe))
        .layer(CompressionLayer::new())
        .layer(from_fn(sent::keep))
        .merge(health.router())
        .with_state(app)
}

/// The routes of one kind of resource.
fn resources(kind: Kind) -> Router<Shared> {
    let endpoint = kind.endpoint();
    let one = get(resources::read).put(resources::replace).patch(resources::patch).delete(resources::delete);
    Router::new()
        .merge(scim_at(endpoint, get(list::of_kind).post(resources::create)))
        .merge(scim_at(&format!("{endpoint}/.search"), post(list::search_kind)))
        .merge(scim_at(&format!("{endpoint}/{{id}}"), one))
        .layer(Extension(kind))
}

/// A route below the base path, with and without a trailing slash.
fn scim_at(path: &str, methods: MethodRouter<Shared>) -> Router<Shared> {
    let path = format!("{BASE_PATH}{path}");
    Router::new().route(&format!("{path}/"), methods.clone()).route(&path, methods)
}

async fn no_such_path() -> Refusal {
    Error::not_found(format!("no such path; SCIM is served below {BASE_PATH}")).into()
}

/// axum adds the `Allow` header.
async fn no_such_method(method: Method) -> Refusal {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let method = known.into_iter().find(|known| *known == method.as_str()).unwrap_or("this method");
    Error::method_not_allowed(format!(
        "{method} is not allowed here; the Allow header lists the allowed methods"
    ))
    .into()
}

#[cfg(test)]
mod tests;

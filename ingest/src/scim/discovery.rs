//! `/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas` (RFC 7644 §4).
//!
//! Before it: the caller's key, which these endpoints ask for like all others. After it: `shared::scim::discovery`,
//! which says what is true.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use serde_json::Value;
use shared::scim::{Error, discovery};

use crate::auth::Scim;
use crate::http::answer::{Answer, scim_json};
use crate::http::base_url::BaseUrl;
use crate::http::query::Query;

/// What this server can do.
///
/// # Errors
/// 403 for a filter.
pub async fn service_provider_config(_: Scim, BaseUrl(base): BaseUrl, query: Query) -> Answer {
    answer(&query, Some(discovery::service_provider_config(&base)))
}

/// The kinds of resources.
///
/// # Errors
/// 403 for a filter.
pub async fn resource_types(_: Scim, BaseUrl(base): BaseUrl, query: Query) -> Answer {
    answer(&query, Some(discovery::resource_types(&base)))
}

/// One kind of resource.
///
/// # Errors
/// 404 if there is none of that name.
pub async fn resource_type(_: Scim, BaseUrl(base): BaseUrl, query: Query, id: Name) -> Answer {
    answer(&query, id.ok().and_then(|Path(id)| discovery::resource_type(&base, &id)))
}

/// The schemas.
///
/// # Errors
/// 403 for a filter.
pub async fn schemas(_: Scim, BaseUrl(base): BaseUrl, query: Query) -> Answer {
    answer(&query, Some(discovery::schemas(&base)))
}

/// One schema.
///
/// # Errors
/// 404 if there is none of that URN.
pub async fn schema(_: Scim, BaseUrl(base): BaseUrl, query: Query, id: Name) -> Answer {
    answer(&query, id.ok().and_then(|Path(id)| discovery::schema(&base, &id)))
}

type Name = Result<Path<String>, PathRejection>;

fn answer(query: &Query, found: Option<Value>) -> Answer {
    if query.get("filter")?.is_some() {
        return Err(Error::forbidden("this endpoint takes no filter (RFC 7644 §4)").into());
    }
    match found {
        Some(body) => Ok(scim_json(StatusCode::OK, &body)),
        None => Err(Error::not_found("there is nothing of this name").into()),
    }
}

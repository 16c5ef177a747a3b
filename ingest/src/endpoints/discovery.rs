//! `/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas` (RFC 7644 §4). They require a key, since a tenant may have
//! its own schemas. `/ServiceProviderConfig` works without credentials too, since it lists the authentication schemes
//! (RFC 7643 §5).

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use scim::{Error, discovery};
use serde_json::Value;

use super::context::RequestContext;
use crate::app::Shared;
use crate::http::base_url::BaseUrl;
use crate::http::query::Query;
use crate::http::response::{HandlerResult, Refusal, scim_json};

/// `None` if the request has no credentials. Wrong credentials are rejected.
impl OptionalFromRequestParts<Shared> for RequestContext {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Option<Self>, Refusal> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        <Self as FromRequestParts<Shared>>::from_request_parts(parts, state).await.map(Some)
    }
}

/// `GET /ServiceProviderConfig`.
///
/// # Errors
/// 403 for a filter.
pub async fn service_provider_config(
    caller: Option<RequestContext>,
    State(app): State<Shared>,
    BaseUrl(base): BaseUrl,
    query: Query,
) -> HandlerResult {
    let level = caller.map(|caller| caller.tenant.settings.discovery).unwrap_or_default();
    let config = discovery::service_provider_config(&base, app.config.body_limit, level);
    without_filter(&query)?;
    Ok(scim_json(StatusCode::OK, &config))
}

/// `GET /ResourceTypes`.
///
/// # Errors
/// 403 for a filter.
pub async fn resource_types(context: RequestContext) -> HandlerResult {
    respond(&context, Some(discovery::resource_types(&context.base, &context.tenant.types)))
}

/// `GET /ResourceTypes/{id}`.
///
/// # Errors
/// 404 for an unknown name.
pub async fn resource_type(context: RequestContext, id: Name) -> HandlerResult {
    respond(
        &context,
        id.ok().and_then(|Path(id)| discovery::resource_type(&context.base, &context.tenant.types, &id)),
    )
}

/// `GET /Schemas`.
///
/// # Errors
/// 403 for a filter.
pub async fn schemas(context: RequestContext) -> HandlerResult {
    respond(&context, Some(discovery::schemas(&context.base, &context.tenant.types)))
}

/// `GET /Schemas/{id}`.
///
/// # Errors
/// 404 for an unknown URN.
pub async fn schema(context: RequestContext, id: Name) -> HandlerResult {
    respond(
        &context,
        id.ok().and_then(|Path(id)| discovery::schema(&context.base, &context.tenant.types, &id)),
    )
}

type Name = Result<Path<String>, PathRejection>;

fn respond(context: &RequestContext, found: Option<Value>) -> HandlerResult {
    without_filter(&context.query)?;
    let found = found.ok_or_else(|| Error::not_found("no resource type or schema of this name"))?;
    context.read_response(StatusCode::OK, &found)
}

fn without_filter(query: &Query) -> Result<(), Error> {
    match query.get("filter")? {
        Some(_) => Err(Error::forbidden("this endpoint does not support filters (RFC 7644 §4)")),
        None => Ok(()),
    }
}

//! `/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas` (RFC 7644 §4).
//!
//! Before it: the caller's key, which these endpoints ask for like all others: a tenant may have schemas of its own. The first
//! is also for whoever shows no credentials yet (RFC 7643 §5): it says which to show. After it: `shared::scim::discovery`,
//! which says what is true.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use serde_json::Value;
use shared::scim::{Error, discovery};

use super::context::Context;
use crate::app::Shared;
use crate::http::answer::{Answer, Refusal, scim_json};
use crate::http::base_url::BaseUrl;
use crate::http::query::Query;

/// `None` if the request shows no credentials; wrong ones are refused all the same.
impl OptionalFromRequestParts<Shared> for Context {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Option<Self>, Refusal> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(None);
        }
        <Self as FromRequestParts<Shared>>::from_request_parts(parts, state).await.map(Some)
    }
}

/// What this server can do.
///
/// # Errors
/// 403 for a filter.
pub async fn service_provider_config(
    caller: Option<Context>,
    State(app): State<Shared>,
    BaseUrl(base): BaseUrl,
    query: Query,
) -> Answer {
    let told = caller.map(|caller| caller.tenant.settings.discovery).unwrap_or_default();
    let config = discovery::service_provider_config(&base, app.config.body_limit, told);
    answer_to(&query, Some(config))
}

/// The kinds of resources.
///
/// # Errors
/// 403 for a filter.
pub async fn resource_types(context: Context) -> Answer {
    answer(&context, Some(discovery::resource_types(&context.base, &context.tenant.types)))
}

/// One kind of resource.
///
/// # Errors
/// 404 if there is none of that name.
pub async fn resource_type(context: Context, id: Name) -> Answer {
    answer(
        &context,
        id.ok().and_then(|Path(id)| discovery::resource_type(&context.base, &context.tenant.types, &id)),
    )
}

/// The schemas.
///
/// # Errors
/// 403 for a filter.
pub async fn schemas(context: Context) -> Answer {
    answer(&context, Some(discovery::schemas(&context.base, &context.tenant.types)))
}

/// One schema.
///
/// # Errors
/// 404 if there is none of that URN.
pub async fn schema(context: Context, id: Name) -> Answer {
    answer(
        &context,
        id.ok().and_then(|Path(id)| discovery::schema(&context.base, &context.tenant.types, &id)),
    )
}

type Name = Result<Path<String>, PathRejection>;

fn answer(context: &Context, found: Option<Value>) -> Answer {
    answer_to(&context.query, found)
}

fn answer_to(query: &Query, found: Option<Value>) -> Answer {
    if query.get("filter")?.is_some() {
        return Err(Error::forbidden("this endpoint takes no filter (RFC 7644 §4)").into());
    }
    match found {
        Some(body) => Ok(scim_json(StatusCode::OK, &body)),
        None => Err(Error::not_found("there is nothing of this name").into()),
    }
}

//! `/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas` (RFC 7644 §4).
//!
//! Before it: the caller's key, which these endpoints ask for like all others: a tenant may have schemas of its own. After it:
//! `shared::scim::discovery`, which says what is true.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use serde_json::Value;
use shared::scim::{Error, discovery};

use super::context::Context;
use crate::http::answer::{Answer, scim_json};

/// What this server can do.
///
/// # Errors
/// 403 for a filter.
pub async fn service_provider_config(context: Context) -> Answer {
    let (limit, told) = (context.app.config.body_limit, context.tenant.settings.discovery);
    answer(&context, Some(discovery::service_provider_config(&context.base, limit, told)))
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
    if context.query.get("filter")?.is_some() {
        return Err(Error::forbidden("this endpoint takes no filter (RFC 7644 §4)").into());
    }
    match found {
        Some(body) => Ok(scim_json(StatusCode::OK, &body)),
        None => Err(Error::not_found("there is nothing of this name").into()),
    }
}

//! `/Groups`: an empty list, so that an identity provider's connection test passes; groups are not provisioned yet.
//!
//! Before it: the caller's key. After it: the answer.

use axum::http::StatusCode;
use shared::scim::{Error, list_response};

use super::paging::Paging;
use crate::auth::Scim;
use crate::http::answer::{Answer, Refusal, scim_json};
use crate::http::query::Query;

/// Answers that there are none.
///
/// # Errors
/// 400 for paging parameters that are no integers.
pub async fn list(_: Scim, query: Query) -> Answer {
    let paging = Paging::of(&query)?;
    Ok(scim_json(StatusCode::OK, &list_response(Vec::new(), 0, paging.start_index)))
}

/// Refuses to make one.
pub async fn create(_: Scim) -> Refusal {
    Error::not_implemented("groups cannot be provisioned yet").into()
}

/// One group: there is none.
pub async fn one(_: Scim) -> Refusal {
    Error::not_found("there is no Group with this id").into()
}

//! `GET /Users` (RFC 7644 §3.4.2).
//!
//! Before it: the query. After it: one page, in the stable order of ids.

use axum::extract::State;
use axum::http::StatusCode;
use shared::postgres::users::{self, Page};
use shared::scim::{ResourceType, list_response};

use super::paging::{Paging, lookup};
use crate::app::Shared;
use crate::auth::Scim;
use crate::http::answer::{Answer, Refusal, scim_json};
use crate::http::base_url::BaseUrl;
use crate::http::query::Query;

/// Answers one page of the caller's users. No match is a page too, and 200.
///
/// # Errors
/// 400 for a bad query, 429 while Postgres is away.
pub async fn users(
    Scim(key): Scim,
    State(app): State<Shared>,
    BaseUrl(base): BaseUrl,
    query: Query,
) -> Answer {
    let projection = query.projection()?;
    let paging = Paging::of(&query)?;
    let page = match lookup(query.get("filter")?)? {
        None => Page { records: Vec::new(), total: 0 },
        Some(lookup) => {
            let (tenant, offset, count) = (key.tenant, paging.offset(), paging.count);
            let read = app.pool.bounded(async |c| users::list(c, tenant, &lookup, offset, count).await);
            read.await.map_err(|error| Refusal::unread(&error))?
        }
    };
    let shown = page.records.iter().map(|record| record.represent(ResourceType::user(), &base, &projection));
    Ok(scim_json(StatusCode::OK, &list_response(shown.collect(), page.total, paging.start_index)))
}

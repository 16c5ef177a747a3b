//! Queries (RFC 7644 §3.4.2, §3.4.3): `GET` of `/Users`, `/Groups` and the root, and `POST` of their `/.search`.

mod cursor;
mod pages;
mod paging;

use axum::extract::{Extension, Request};
use axum::http::StatusCode;
use database::list::Sort;
use scim::{Error, SearchRequest, list_response, parse_json};

use self::cursor::{Place, Scope};
use self::pages::Wanted;
use self::paging::Paging;
use super::context::RequestContext;
use super::kind::Kind;
use crate::http::response::HandlerResult;

/// `GET /Users`, `GET /Groups`. No match is an empty page with 200.
///
/// # Errors
/// 400 for a bad query, 429 while Postgres is unavailable.
pub async fn of_kind(context: RequestContext, Extension(kind): Extension<Kind>) -> HandlerResult {
    let asked = queried(&context)?;
    respond(&context, &[kind], asked).await
}

/// `GET` of the root: users first, then groups (RFC 7644 §3.4.2.1).
///
/// # Errors
/// 400 for a bad query, 429 while Postgres is unavailable.
pub async fn of_all(context: RequestContext) -> HandlerResult {
    let asked = queried(&context)?;
    respond(&context, &Kind::ALL, asked).await
}

/// `POST /Users/.search`, `POST /Groups/.search` (RFC 7644 §3.4.3).
///
/// # Errors
/// 400 for a bad body, 413, 415, 429 while Postgres is unavailable.
pub async fn search_kind(
    context: RequestContext,
    Extension(kind): Extension<Kind>,
    request: Request,
) -> HandlerResult {
    let asked = searched(&context, request).await?;
    respond(&context, &[kind], asked).await
}

/// `POST /.search`.
///
/// # Errors
/// As [`search_kind`].
pub async fn search_all(context: RequestContext, request: Request) -> HandlerResult {
    let asked = searched(&context, request).await?;
    respond(&context, &Kind::ALL, asked).await
}

/// A parsed query.
struct Asked {
    wanted: Wanted,
    paging: Paging,
}

impl TryFrom<SearchRequest> for Asked {
    type Error = Error;

    fn try_from(request: SearchRequest) -> Result<Self, Error> {
        let SearchRequest { projection, filter, sort_by, descending, start_index, count, cursor } = request;
        let sort = sort_by.map(|by| Sort { by, descending });
        Ok(Self {
            wanted: Wanted { projection, filter, sort },
            paging: Paging::new(start_index, count, cursor)?,
        })
    }
}

fn queried(context: &RequestContext) -> Result<Asked, Error> {
    SearchRequest::of_parameters(|name| context.query.get(name))?.try_into()
}

async fn searched(context: &RequestContext, request: Request) -> Result<Asked, Error> {
    let received = context.receive(request).await?;
    SearchRequest::parse(&parse_json(&received.body)?)?.try_into()
}

async fn respond(context: &RequestContext, kinds: &[Kind], asked: Asked) -> HandlerResult {
    let Asked { wanted, paging } = asked;
    let parts = pages::parts(context, kinds, &wanted)?;
    let (response, permits) = match paging {
        Paging::Index { start_index, count } => {
            let shown = pages::by_index(&parts, start_index - 1, count).await?;
            let response = list_response(shown.resources, shown.total, Some(start_index), None);
            (response, shown.permits)
        }
        Paging::Cursor { cursor, count } => {
            let now_ms = context.app.clock.now_ms();
            let scope = scope(context, kinds, &wanted);
            let first = Place { kind: Kind::User, last: None, total: None };
            let from = if cursor.is_empty() { first } else { scope.place(&cursor, now_ms)? };
            let shown = pages::by_cursor(&parts, from, count).await?;
            let next = shown.next.map(|next| scope.cursor(&next, now_ms));
            (list_response(shown.resources, shown.total, None, next), shown.permits)
        }
    };
    // The response counts by its own size from now on.
    drop(permits);
    context.read_response(StatusCode::OK, &response)
}

/// The identity of a query: tenant, endpoints, filter and order. The case is ignored: the second page of RFC 9865's own
/// example uses `username`.
fn scope(context: &RequestContext, kinds: &[Kind], wanted: &Wanted) -> Scope {
    let endpoints = kinds.iter().map(|kind| kind.endpoint()).collect();
    let filter = wanted.filter.as_ref().map(|filter| filter.to_string().to_lowercase());
    let sort = wanted.sort.as_ref().map(|sort| format!("{} {}", sort.by, sort.descending).to_lowercase());
    let parts = vec![endpoints, filter.unwrap_or_default(), sort.unwrap_or_default()];
    Scope { tenant: context.tenant.id, parts }
}

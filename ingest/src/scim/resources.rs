//! `/Users`, `/Groups` and what is below them: from a request to a command, and from its outcome to the answer (RFC 7644
//! §3.3 to §3.6).
//!
//! Before it: the caller's key. What can be refused without the database is refused here. After it: the road; for a
//! read, Postgres.

use axum::body::Bytes;
use axum::extract::{Extension, Request};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde_json::Value;
use shared::scim::{Error, Projection, parse_json};
use uuid::Uuid;

use super::asynchronous;
use super::context::{Asked, Context, Named, Received};
use super::kind::{Kind, Method};
use super::read;
use super::shown::Shown;
use crate::http::answer::{Answer, Refusal};
use crate::http::{preconditions, prefer};
use crate::road::{Errand, Promise};

/// `GET /Users/{id}`, `GET /Groups/{id}` (RFC 7644 §3.4.1).
///
/// # Errors
/// 404 for an id that the tenant does not have, 429 while Postgres is away.
pub async fn read(context: Context, Named(kind, id): Named, headers: HeaderMap) -> Answer {
    let projection = context.query.projection()?;
    let (tenant, types) = (context.tenant.id, &context.tenant.types);
    let found = read::one(&context.app.pool, kind, tenant, id, &projection, types).await;
    let found = found.map_err(|error| Refusal::unread(&error))?.ok_or_else(|| kind.not_found())?;
    if preconditions::is_known(&headers, &found.0.etag())? {
        return Ok(Shown::not_modified(&found.0).into_response());
    }
    Ok(context.view(kind, &projection).found(found).into_response())
}

/// `POST /Users`, `POST /Groups` (RFC 7644 §3.3).
///
/// # Errors
/// Any SCIM error.
pub async fn create(context: Context, Extension(kind): Extension<Kind>, request: Request) -> Answer {
    written(context, Method::Post, kind, shared::id::new(), request).await
}

/// `PUT` of one resource (RFC 7644 §3.5.1).
///
/// # Errors
/// Any SCIM error.
pub async fn replace(context: Context, Named(kind, id): Named, request: Request) -> Answer {
    written(context, Method::Put, kind, id, request).await
}

/// `PATCH` of one resource (RFC 7644 §3.5.2).
///
/// # Errors
/// Any SCIM error.
pub async fn patch(context: Context, Named(kind, id): Named, request: Request) -> Answer {
    written(context, Method::Patch, kind, id, request).await
}

/// `DELETE` of one resource (RFC 7644 §3.6).
///
/// # Errors
/// Any SCIM error.
pub async fn delete(context: Context, Named(kind, id): Named, headers: HeaderMap) -> Answer {
    let sent = Received { headers, body: Bytes::new(), held: context.held.clone() };
    let errand = errand(&context, Method::Delete, kind, id, &sent, &Value::Null)?;
    let headers = sent.headers;
    answer(&context, Method::Delete, kind, &headers, errand, &Projection::all()).await
}

/// A change with a body.
async fn written(context: Context, method: Method, kind: Kind, id: Uuid, request: Request) -> Answer {
    let projection = context.query.projection()?;
    let (received, permit) = context.receive_resource(kind, request).await?;
    let parsed = parse_json(&received.body)?;
    let errand = errand(&context, method, kind, id, &received, &parsed)?;
    let headers = received.headers;
    // What is under way is small again.
    drop((permit, received.body, parsed));
    answer(&context, method, kind, &headers, errand, &projection).await
}

/// The change that is asked for.
fn errand(
    context: &Context,
    method: Method,
    kind: Kind,
    id: Uuid,
    sent: &Received,
    parsed: &Value,
) -> Result<Errand, Error> {
    let change = method.change(kind, &context.tenant.types, parsed)?;
    let if_match = preconditions::if_match(&sent.headers)?;
    let (if_match, held) = (if_match.as_deref(), sent.held.clone());
    Ok(context.errand(Asked { method, kind, id, body: &sent.body, if_match, change, held }))
}

/// Sends a change down the road and answers what came of it, or where that can be asked for.
async fn answer(
    context: &Context,
    method: Method,
    kind: Kind,
    headers: &HeaderMap,
    errand: Errand,
    projection: &Projection,
) -> Answer {
    let road = &context.app.road;
    let outcome = match prefer::respond_async(headers) {
        None => road.travel(errand).await?,
        Some(wait) => match road.promise(wait, errand).await? {
            Promise::Kept(outcome) => outcome,
            Promise::Made(ticket) => return Ok(asynchronous::accepted(ticket, &context.base)),
        },
    };
    Ok(context.view(kind, projection).outcome(method, outcome).await?.into_response())
}

//! The handlers of single resources (RFC 7644 §3.3 to §3.6). Requests that are invalid regardless of the database are
//! rejected here; others are dispatched as commands.

use axum::body::Bytes;
use axum::extract::{Extension, Request};
use axum::http::HeaderMap;
use scim::{Error, Projection, parse_json};
use serde_json::Value;
use uuid::Uuid;

use super::asynchronous;
use super::context::{Asked, Named, Received, RequestContext};
use super::kind::{Kind, Method};
use super::read;
use super::resource_response::ResourceResponse;
use crate::admission::Permit;
use crate::dispatch::{AsyncResponse, ChangeRequest};
use crate::http::response::{HandlerResult, Refusal};
use crate::http::{preconditions, prefer, sent};

/// `GET /Users/{id}`, `GET /Groups/{id}` (RFC 7644 §3.4.1).
///
/// # Errors
/// 404 for an id that the tenant does not have, 429 while Postgres is unavailable.
pub async fn read(context: RequestContext, Named(kind, id): Named, headers: HeaderMap) -> HandlerResult {
    let projection = context.query.projection()?;
    let (tenant, types) = (context.tenant.id, &context.tenant.types);
    let connection = context.app.reads.lookup(tenant).await?;
    // Until the response has its size.
    let room = room_for_members(&context, kind, id, &projection).await?;
    let found = read::one(&context.app.pool, kind, tenant, id, &projection, types).await;
    let found = found.map_err(|error| Refusal::unread(&error))?.ok_or_else(|| kind.not_found())?;
    drop(connection);
    let shown = if preconditions::is_known(&headers, &found.0.etag())? {
        ResourceResponse::not_modified(&found.0)
    } else {
        context.view(kind, &projection).found(found)
    };
    drop(room);
    Ok(shown.respond(|size| context.hold_answer(size))?)
}

/// A permit for the members of a group, if they are shown: there may be 100,000.
async fn room_for_members(
    context: &RequestContext,
    kind: Kind,
    id: Uuid,
    projection: &Projection,
) -> Result<Option<Permit>, Refusal> {
    if kind != Kind::Group || !read::shows(projection, kind, &context.tenant.types) {
        return Ok(None);
    }
    let size = read::members_size(&context.app.pool, context.tenant.id, id).await;
    let size = size.map_err(|error| Refusal::unread(&error))?.unwrap_or_default();
    Ok(Some(context.app.admission.admit_answer(context.tenant.id, size)?))
}

/// `POST /Users`, `POST /Groups` (RFC 7644 §3.3).
///
/// # Errors
/// Any SCIM error.
pub async fn create(
    context: RequestContext,
    Extension(kind): Extension<Kind>,
    request: Request,
) -> HandlerResult {
    written(context, Method::Post, kind, platform::id::new(), request).await
}

/// `PUT` of one resource (RFC 7644 §3.5.1).
///
/// # Errors
/// Any SCIM error.
pub async fn replace(context: RequestContext, Named(kind, id): Named, request: Request) -> HandlerResult {
    written(context, Method::Put, kind, id, request).await
}

/// `PATCH` of one resource (RFC 7644 §3.5.2).
///
/// # Errors
/// Any SCIM error.
pub async fn patch(context: RequestContext, Named(kind, id): Named, request: Request) -> HandlerResult {
    written(context, Method::Patch, kind, id, request).await
}

/// `DELETE` of one resource (RFC 7644 §3.6).
///
/// # Errors
/// Any SCIM error.
pub async fn delete(context: RequestContext, Named(kind, id): Named, headers: HeaderMap) -> HandlerResult {
    let sent = Received { headers, body: Bytes::new(), held: context.held.clone() };
    let change_request = parse_change_request(&context, Method::Delete, kind, id, &sent, &Value::Null)?;
    let headers = sent.headers;
    respond(&context, Method::Delete, kind, &headers, change_request, &Projection::all()).await
}

/// A change with a body.
async fn written(
    context: RequestContext,
    method: Method,
    kind: Kind,
    id: Uuid,
    request: Request,
) -> HandlerResult {
    let projection = context.query.projection()?;
    let (received, permit) = context.receive_resource(kind, request).await?;
    let parsed = parse_json(&received.body)?;
    let change_request = parse_change_request(&context, method, kind, id, &received, &parsed)?;
    let headers = received.headers;
    // Release the large buffers before waiting.
    drop((permit, received.body, parsed));
    context.app.headcounts.admit(&context.app.pool, &context.tenant, &change_request.change).await?;
    respond(&context, method, kind, &headers, change_request, &projection).await
}

/// Parses the change and the preconditions.
fn parse_change_request(
    context: &RequestContext,
    method: Method,
    kind: Kind,
    id: Uuid,
    sent: &Received,
    parsed: &Value,
) -> Result<ChangeRequest, Error> {
    let change = method.change(kind, &context.tenant.types, parsed)?;
    let if_match = preconditions::if_match(&sent.headers)?;
    let (if_match, held) = (if_match.as_deref(), sent.held.clone());
    Ok(context.change_request(Asked { method, kind, id, body: &sent.body, if_match, change, held }))
}

/// Dispatches a change. Responds with its outcome, or with the URL of its outcome.
async fn respond(
    context: &RequestContext,
    method: Method,
    kind: Kind,
    headers: &HeaderMap,
    change_request: ChangeRequest,
    projection: &Projection,
) -> HandlerResult {
    let dispatcher = &context.app.dispatcher;
    let outcome = match prefer::respond_async(headers) {
        None => dispatcher.submit(change_request).await?,
        Some(wait) => {
            match dispatcher.submit_async(wait, change_request, &context.tenant.settings.limits).await? {
                AsyncResponse::Completed(outcome) => outcome,
                AsyncResponse::Accepted(ticket) => return Ok(asynchronous::accepted(ticket, &context.base)),
            }
        }
    };
    let shown = context.view(kind, projection).outcome(method, outcome).await?;
    // The change is made, so its response is sent in any case.
    shown.respond(|size| {
        sent::hold(context.app.admission.count_answer(context.tenant.id, size));
        Ok(())
    })
}

//! Asynchronous requests (RFC 9967): the 202 response that accepts one, and `GET /Async/{txn}`, which returns its
//! outcome from `commands` for as long as it is kept.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use database::verdicts::{self, StoredVerdict};
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use scim::{Error, Projection};
use serde_json::{Map, Value, json};

use super::context::RequestContext;
use super::kind::{Kind, Method};
use super::resource_response::{operation_result, with_skipped};
use crate::http::prefer::RESPOND_ASYNC;
use crate::http::response::{HandlerResult, Refusal};

/// The URN of the event with the outcome of an asynchronous request.
const ASYNC_RESPONSE_URN: &str = "urn:ietf:params:scim:event:misc:asyncresp";
const SET_TXN: HeaderName = HeaderName::from_static("set-txn");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// `Retry-After` of a pending outcome, in seconds.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// 202: the change is queued, and `Location` is the URL of its outcome.
pub(super) fn accepted(ticket: Ticket, base: &str) -> Response {
    let mut response = StatusCode::ACCEPTED.into_response();
    let headers = [
        (SET_TXN, ticket.to_string()),
        (PREFERENCE_APPLIED, RESPOND_ASYNC.to_owned()),
        (LOCATION, format!("{base}/Async/{ticket}")),
    ];
    // All values are ASCII, so none is dropped.
    let headers =
        headers.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)));
    response.headers_mut().extend(headers);
    response
}

/// `GET /Async/{txn}`: the outcome of an asynchronous request, or 202 while it is pending.
///
/// # Errors
/// 404 for a transaction that the tenant does not have, 429 while Postgres is unavailable.
pub async fn outcome(context: RequestContext, txn: Result<Path<String>, PathRejection>) -> HandlerResult {
    let unknown = || Error::not_found("no asynchronous request with this transaction identifier");
    let txn = txn.ok().and_then(|Path(text)| scim::parse_id(&text)).ok_or_else(unknown)?;
    let (tenant, ticket) = (context.tenant.id, Ticket(txn));
    let read = context.app.pool.bounded(async |c| verdicts::asynchronous(c, tenant, ticket).await);
    let found = read.await.map_err(|error| Refusal::unread(&error))?.ok_or_else(unknown)?;
    // Other changes, such as a role set by the content service or by a pull, are not SCIM requests.
    let asked = Kind::of_change(&found.change).zip(Method::of_change(&found.change));
    let (kind, method) = asked.ok_or_else(unknown)?;
    match &found.outcome {
        Some(outcome) => {
            let completion = completion(&context, ticket, (kind, method), &found, outcome).await;
            context.read_response(StatusCode::OK, &completion)
        }
        None => {
            let mut response = StatusCode::ACCEPTED.into_response();
            response.headers_mut().insert(RETRY_AFTER, ASK_AGAIN);
            Ok(response)
        }
    }
}

/// The outcome as the claims of a security event (RFC 9967 §2.5, RFC 8417). Its data are one operation of a Bulk
/// response, and are repeated beside the claims for clients that only poll. Every poll returns the same.
async fn completion(
    context: &RequestContext,
    ticket: Ticket,
    (kind, method): (Kind, Method),
    found: &StoredVerdict,
    outcome: &Outcome,
) -> Value {
    let operation = with_skipped(operation(context, kind, method, found, outcome).await, Some(outcome));
    let subject = outcome.record().map(|record| record.id).or(found.resource);
    let mut claims = operation.clone();
    claims.insert("schemas".to_owned(), json!([ASYNC_RESPONSE_URN]));
    claims.insert("txn".to_owned(), json!(ticket));
    claims.insert("jti".to_owned(), json!(format!("{ticket}.asyncresp")));
    claims.insert("iss".to_owned(), json!(context.base));
    claims.extend(found.decided_at.map(|at| ("iat".to_owned(), json!(at.unix_timestamp()))));
    let uri = subject.map(|id| format!("{}/{id}", kind.endpoint()));
    claims.extend(uri.map(|uri| ("sub_id".to_owned(), json!({ "format": "scim", "uri": uri }))));
    claims.insert("events".to_owned(), json!({ (ASYNC_RESPONSE_URN): operation }));
    Value::Object(claims)
}

/// One operation of a Bulk response (RFC 7644 §3.7), with the resource as the change left it. A verdict does not store
/// a group's members: clients read a group that has changed since at `location`.
async fn operation(
    context: &RequestContext,
    kind: Kind,
    method: Method,
    found: &StoredVerdict,
    outcome: &Outcome,
) -> Map<String, Value> {
    let at = |id| format!("{}{}/{id}", context.base, kind.endpoint());
    let projection = Projection::all();
    let view = context.view(kind, &projection);
    let shown = match outcome {
        // The resource in a verdict is kept for a day.
        Outcome::Created { record, .. } | Outcome::Updated { record, .. }
            if record.resource.members().is_empty() =>
        {
            Ok(view.found((record.clone(), None)).empty())
        }
        outcome => view.outcome(method, outcome.clone()).await,
    };
    let shown = shown.map(|shown| match outcome.record() {
        Some(record) if shown.version != Some(record.etag()) => view.found((record.clone(), None)).empty(),
        _ => shown,
    });
    match shown {
        Ok(shown) => {
            let location = shown.location.or_else(|| found.resource.map(at));
            let mut result = operation_result(method.as_str(), location, shown.version, Ok(outcome.status()));
            result.extend(shown.body.map(|body| ("response".to_owned(), body)));
            result
        }
        Err(error) => {
            // A resource that was not created has no location.
            let id = found.resource.filter(|_| method != Method::Post);
            operation_result(method.as_str(), id.map(at), None, Err(&error))
        }
    }
}

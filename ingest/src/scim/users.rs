//! `/Users` and `/Users/{id}`: from a request to a command, and from its outcome to the answer (RFC 7644 §3.3 to §3.6).
//!
//! Before it: the caller's key. What can be refused without the database is refused here. After it: the road; for a
//! read, Postgres.

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use shared::command::{Actor, Change, Fingerprint, Origin};
use shared::outcome::Outcome;
use shared::postgres::keys::Key;
use shared::postgres::users;
use shared::scim::{Error, Patch, Projection, Record, Resource, ResourceType, parse_json};
use uuid::Uuid;

use super::paging;
use crate::app::Shared;
use crate::auth::Scim;
use crate::http::answer::{Answer, Refusal, scim_json};
use crate::http::base_url::BaseUrl;
use crate::http::observe::RequestId;
use crate::http::query::Query;
use crate::http::{body, preconditions};
use crate::road::Errand;

/// What the body of a change may call itself (RFC 7644 §3.1 and Okta).
const MEDIA_TYPES: &[&str] = &["application/scim+json", "application/json"];

/// `GET /Users/{id}` (RFC 7644 §3.4.1).
///
/// # Errors
/// 404 for an id that the tenant does not have, 429 while Postgres is away.
pub async fn read(
    Scim(key): Scim,
    Context { app, base, query, .. }: Context,
    id: UserId,
    headers: HeaderMap,
) -> Answer {
    let projection = query.projection()?;
    let UserId(id) = id;
    let read = app.pool.bounded(async |c| users::find(c, key.tenant, id).await);
    let found = read.await.map_err(|error| Refusal::unread(&error))?;
    let record = found.ok_or_else(no_such_user)?;
    if preconditions::is_known(&headers, &record.etag())? {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().extend(header(record.etag()).map(|etag| (ETAG, etag)));
        return Ok(response);
    }
    Ok(show(StatusCode::OK, &record, &base, &projection))
}

/// `POST /Users` (RFC 7644 §3.3).
///
/// # Errors
/// Any SCIM error.
pub async fn create(Scim(key): Scim, context: Context, request: Request) -> Answer {
    let projection = context.query.projection()?;
    let (parts, body) = context.receive(request).await?;
    let user = Resource::parse(ResourceType::user(), &parse_json(&body)?)?;
    let change = Change::CreateUser { user, origin: Origin::Scim, role: None };
    let asked = Asked { method: "POST", path: "/Users".to_owned(), id: shared::id::new(), body, change };
    context.change(&key, &parts.headers, asked, &projection).await
}

/// `PUT /Users/{id}` (RFC 7644 §3.5.1).
///
/// # Errors
/// Any SCIM error.
pub async fn replace(Scim(key): Scim, context: Context, UserId(id): UserId, request: Request) -> Answer {
    let projection = context.query.projection()?;
    let (parts, body) = context.receive(request).await?;
    let change = Change::ReplaceUser { user: Resource::parse(ResourceType::user(), &parse_json(&body)?)? };
    context
        .change(&key, &parts.headers, Asked { method: "PUT", path: path(id), id, body, change }, &projection)
        .await
}

/// `PATCH /Users/{id}` (RFC 7644 §3.5.2).
///
/// # Errors
/// Any SCIM error.
pub async fn patch(Scim(key): Scim, context: Context, UserId(id): UserId, request: Request) -> Answer {
    let projection = context.query.projection()?;
    let (parts, body) = context.receive(request).await?;
    let change = Change::PatchUser { patch: Patch::parse(&parse_json(&body)?)? };
    context
        .change(
            &key,
            &parts.headers,
            Asked { method: "PATCH", path: path(id), id, body, change },
            &projection,
        )
        .await
}

/// `DELETE /Users/{id}` (RFC 7644 §3.6).
///
/// # Errors
/// Any SCIM error.
pub async fn delete(Scim(key): Scim, context: Context, UserId(id): UserId, headers: HeaderMap) -> Answer {
    let asked =
        Asked { method: "DELETE", path: path(id), id, body: Bytes::new(), change: Change::DeleteUser };
    context.change(&key, &headers, asked, &Projection::all()).await
}

/// A change as it was asked for.
struct Asked {
    method: &'static str,
    path: String,
    id: Uuid,
    body: Bytes,
    change: Change,
}

/// What every handler here needs.
pub struct Context {
    app: Shared,
    base: String,
    query: Query,
    request: Uuid,
}

impl FromRequestParts<Shared> for Context {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let Ok(BaseUrl(base)) = BaseUrl::from_request_parts(parts, state).await;
        let Ok(RequestId(request)) = RequestId::from_request_parts(parts, state).await;
        let Ok(State(app)) = State::<Shared>::from_request_parts(parts, state).await;
        Ok(Self { app, base, request, query: Query::from_request_parts(parts, state).await? })
    }
}

impl Context {
    async fn receive(&self, request: Request) -> Result<(Parts, Bytes), Error> {
        let (parts, body) = request.into_parts();
        body::media_type(&parts.headers, MEDIA_TYPES)?;
        let body = body::receive(&parts.headers, body, self.app.config.body_limit).await?;
        Ok((parts, body))
    }

    /// Sends the change down the road and answers what came of it.
    async fn change(&self, key: &Key, headers: &HeaderMap, asked: Asked, projection: &Projection) -> Answer {
        let Asked { method, path, id, body, change } = asked;
        let if_match = preconditions::if_match(headers)?;
        let errand = Errand {
            tenant: key.tenant,
            actor: Actor::Key(key.id),
            request: self.request,
            fingerprint: Fingerprint::of(key.tenant, method, &path, &body, if_match.as_deref()),
            resource: id,
            if_match: if_match.as_deref().map(preconditions::versions),
            change,
        };
        match self.app.road.travel(errand).await? {
            Outcome::Created { record } => {
                let mut response = show(StatusCode::CREATED, &record, &self.base, projection);
                let location = header(record.location(ResourceType::user(), &self.base));
                response.headers_mut().extend(location.map(|location| (LOCATION, location)));
                Ok(response)
            }
            Outcome::Updated { record } => Ok(show(StatusCode::OK, &record, &self.base, projection)),
            Outcome::Deleted => Ok(StatusCode::NO_CONTENT.into_response()),
            Outcome::Rejected { error } => Err(error.into()),
            Outcome::Stale { .. } => Err(Refusal::bug("the road ended in a stale verdict")),
        }
    }
}

/// The id in the path. What cannot be an id is nobody's.
pub struct UserId(Uuid);

impl FromRequestParts<Shared> for UserId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let given: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let id = given.ok().and_then(|Path(text)| paging::id(&text));
        Ok(Self(id.ok_or_else(no_such_user)?))
    }
}

fn no_such_user() -> Error {
    Error::not_found("there is no User with this id")
}

fn path(id: Uuid) -> String {
    format!("/Users/{id}")
}

fn show(status: StatusCode, record: &Record, base: &str, projection: &Projection) -> Response {
    let mut response = scim_json(status, &record.represent(ResourceType::user(), base, projection));
    response.headers_mut().extend(header(record.etag()).map(|etag| (ETAG, etag)));
    response
}

/// Entity tags and our URLs are ASCII, so this is never `None`.
fn header(value: String) -> Option<HeaderValue> {
    HeaderValue::try_from(value).ok()
}

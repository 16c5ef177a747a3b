//! The extractor for SCIM handlers: caller, tenant, base URL and query of a request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, FromRequestParts, Path, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use database::keys::Key;
use database::list::List;
use database::tenants::Tenant;
use domain::command::{Actor, Change, Fingerprint};
use scim::{Error, Projection};
use serde_json::Value;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;
use uuid::Uuid;

use super::kind::{Kind, Method};
use super::resource_response::View;
use crate::admission::Held;
use crate::admission::Scim;
use crate::app::Shared;
use crate::dispatch::ChangeRequest;
use crate::http::base_url::BaseUrl;
use crate::http::observe::RequestId;
use crate::http::query::Query;
use crate::http::response::{HandlerResult, Refusal, scim_json_of};
use crate::http::{body, preconditions, sent};
use crate::reads::ReadPermit;

/// The accepted media types (RFC 7644 §3.1, and what Okta sends).
const MEDIA_TYPES: &[&str] = &["application/scim+json", "application/json"];

/// The largest body of a group, in bytes. Apps created by Okta's wizard send all members, here up to 100,000.
const GROUP_LIMIT: usize = 16 << 20;
/// How long a large body waits for a permit.
const PERMIT_WAIT: Duration = Duration::from_secs(10);

/// The context of a SCIM request.
pub struct RequestContext {
    pub(super) app: Shared,
    pub(super) key: Arc<Key>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) base: String,
    pub(super) query: Query,
    request: Uuid,
    /// The request's permit.
    pub(super) held: Held,
}

impl FromRequestParts<Shared> for RequestContext {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let Scim { key, tenant, permit } = Scim::from_request_parts(parts, state).await?;
        let Ok(BaseUrl(base)) = BaseUrl::from_request_parts(parts, state).await;
        let Ok(RequestId(request)) = RequestId::from_request_parts(parts, state).await;
        let Ok(State(app)) = State::<Shared>::from_request_parts(parts, state).await;
        let query = Query::from_request_parts(parts, state).await?;
        let held = Held::default().and(permit);
        sent::hold(held.clone());
        Ok(Self { app, key, tenant, base, query, request, held })
    }
}

impl RequestContext {
    /// Receives the body.
    ///
    /// # Errors
    /// 415, 413 and the other errors of [`body`]; 429 if too many bytes are in flight.
    pub(super) async fn receive(&self, request: Request) -> Result<Received, Error> {
        self.receive_up_to(self.app.config.body_limit, request).await
    }

    /// Receives the body of a resource. A large group, or one without a `Content-Length`, needs a permit.
    ///
    /// # Errors
    /// As [`RequestContext::receive`]; 429 if too many large groups are in flight.
    pub(super) async fn receive_resource(
        &self,
        kind: Kind,
        request: Request,
    ) -> Result<(Received, Option<SemaphorePermit<'_>>), Error> {
        let limit = self.app.config.body_limit;
        let has_length = request.headers().contains_key(CONTENT_LENGTH);
        if kind == Kind::User || has_length && body::content_length(request.headers()) <= limit {
            return Ok((self.receive_up_to(limit, request).await?, None));
        }
        let Ok(Ok(permit)) = timeout(PERMIT_WAIT, self.app.large.acquire()).await else {
            return Err(Error::too_many_requests("too many large groups are being written; try again"));
        };
        Ok((self.receive_up_to(limit.max(GROUP_LIMIT), request).await?, Some(permit)))
    }

    /// Waits for a permit to read a page of a list.
    ///
    /// # Errors
    /// 429 if too many are being read; 401 if the key was revoked while the request waited.
    pub(super) async fn read_permit(&self, list: &List) -> Result<ReadPermit, Refusal> {
        let (reads, tenant) = (&self.app.reads, self.tenant.id);
        if list.is_plain() {
            return reads.lookup(tenant).await;
        }
        let permit = reads.search(tenant).await?;
        self.app.admission.recheck(&self.key).await?;
        Ok(permit)
    }

    async fn receive_up_to(&self, limit: usize, request: Request) -> Result<Received, Error> {
        let (parts, body) = request.into_parts();
        body::media_type(&parts.headers, MEDIA_TYPES)?;
        let room = self.app.admission.admit_body(self.tenant.id, body::expected(&parts.headers, limit))?;
        let body = body::receive(&parts.headers, body, limit).await?;
        Ok(Received { headers: parts.headers, body, held: self.held.clone().and(room) })
    }

    /// The response to a read. Its size counts against the tenant's share until it is sent.
    ///
    /// # Errors
    /// 429 if the share is used up.
    pub(super) fn read_response(&self, status: StatusCode, body: &Value) -> HandlerResult {
        let text = body.to_string();
        self.hold_answer(text.len())?;
        Ok(scim_json_of(status, text))
    }

    /// Counts a response to a read of this size, in bytes, against the tenant's share until it is sent.
    ///
    /// # Errors
    /// 429 if the share is used up.
    pub(super) fn hold_answer(&self, size: usize) -> Result<(), Error> {
        sent::hold(self.app.admission.admit_answer(self.tenant.id, size)?);
        Ok(())
    }

    /// The representation of resources of this kind for the caller.
    pub(super) fn view<'a>(&'a self, kind: Kind, projection: &'a Projection) -> View<'a> {
        View {
            pool: &self.app.pool,
            admission: &self.app.admission,
            kind,
            types: &self.tenant.types,
            tenant: self.tenant.id,
            base: &self.base,
            projection,
        }
    }

    /// A change request. Method, path, `body` and `If-Match` make its idempotency key.
    pub(super) fn change_request(&self, asked: Asked<'_>) -> ChangeRequest {
        let Asked { method, kind, id, body, if_match, change, held } = asked;
        let path = match method {
            Method::Post => kind.endpoint().to_owned(),
            _ => format!("{}/{id}", kind.endpoint()),
        };
        let (tenant, method) = (self.tenant.id, method.as_str());
        ChangeRequest {
            tenant,
            actor: Actor::Key(self.key.id),
            request: self.request,
            fingerprint: Fingerprint::of(tenant, method, &path, body, if_match),
            resource: id,
            if_match: if_match.map(preconditions::versions),
            change,
            held,
        }
    }
}

/// A received request.
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The permits of the request and of its body.
    pub(super) held: Held,
}

/// The parts of a change request.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) kind: Kind,
    /// The resource's id; for a create, the id it will get.
    pub(super) id: Uuid,
    pub(super) body: &'a [u8],
    pub(super) if_match: Option<&'a str>,
    pub(super) change: Change,
    /// The permits it holds while it is in flight.
    pub(super) held: Held,
}

/// The kind of resource that the route serves, and the id in the path. A malformed id is a 404.
pub struct Named(pub(super) Kind, pub(super) Uuid);

impl FromRequestParts<Shared> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let kind: Result<Extension<Kind>, _> = Extension::from_request_parts(parts, state).await;
        let Ok(Extension(kind)) = kind else { return Err(Refusal::bug("a route without a resource kind")) };
        let given: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let id = given.ok().and_then(|Path(text)| scim::parse_id(&text));
        Ok(Self(kind, id.ok_or_else(|| kind.not_found())?))
    }
}

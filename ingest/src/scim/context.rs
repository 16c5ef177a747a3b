//! What every SCIM handler needs to know of its request.
//!
//! Before it: the caller's key. After it: the handlers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, FromRequestParts, Path, Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use shared::command::{Actor, Change, Fingerprint};
use shared::postgres::keys::Key;
use shared::postgres::tenants::Tenant;
use shared::scim::{Error, Projection};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;
use uuid::Uuid;

use super::kind::{Kind, Method};
use super::shown::View;
use crate::app::Shared;
use crate::auth::Scim;
use crate::gate::Held;
use crate::http::answer::Refusal;
use crate::http::base_url::BaseUrl;
use crate::http::observe::RequestId;
use crate::http::query::Query;
use crate::http::{body, preconditions};
use crate::road::Errand;

/// What the body of a request may call itself (RFC 7644 §3.1 and Okta).
const MEDIA_TYPES: &[&str] = &["application/scim+json", "application/json"];

/// The largest body of a group, in bytes: 100,000 members as an app from Okta's wizard sends them all.
const GROUP_LIMIT: usize = 16 << 20;
/// How long a large body waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// Who asks, of whose roster, under which URL.
pub struct Context {
    pub(super) app: Shared,
    pub(super) key: Arc<Key>,
    pub(super) tenant: Arc<Tenant>,
    pub(super) base: String,
    pub(super) query: Query,
    request: Uuid,
    /// The request's place, for as long as it is in hand.
    pub(super) held: Held,
}

impl FromRequestParts<Shared> for Context {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let Scim { key, tenant, place } = Scim::from_request_parts(parts, state).await?;
        let Ok(BaseUrl(base)) = BaseUrl::from_request_parts(parts, state).await;
        let Ok(RequestId(request)) = RequestId::from_request_parts(parts, state).await;
        let Ok(State(app)) = State::<Shared>::from_request_parts(parts, state).await;
        let query = Query::from_request_parts(parts, state).await?;
        Ok(Self { app, key, tenant, base, query, request, held: Held::default().and(place) })
    }
}

impl Context {
    /// The request's headers and its whole body.
    ///
    /// # Errors
    /// 415, 413 and the others of [`body`]; 429 if there is no room for it.
    pub(super) async fn receive(&self, request: Request) -> Result<Received, Error> {
        self.receive_up_to(self.app.config.body_limit, request).await
    }

    /// The same for a resource of this kind; a large one, or one of a length that nobody knows, has a permit to be read.
    ///
    /// # Errors
    /// As [`Context::receive`]; 429 if too many large ones are in hand.
    pub(super) async fn receive_resource(
        &self,
        kind: Kind,
        request: Request,
    ) -> Result<(Received, Option<SemaphorePermit<'_>>), Error> {
        let limit = self.app.config.body_limit;
        let announced = request.headers().contains_key(CONTENT_LENGTH);
        if kind == Kind::User || announced && body::announced(request.headers()) <= limit {
            return Ok((self.receive_up_to(limit, request).await?, None));
        }
        let Ok(Ok(permit)) = timeout(TURN, self.app.large.acquire()).await else {
            return Err(Error::too_many_requests(
                "too many large groups are being written at once; try again",
            ));
        };
        Ok((self.receive_up_to(limit.max(GROUP_LIMIT), request).await?, Some(permit)))
    }

    async fn receive_up_to(&self, limit: usize, request: Request) -> Result<Received, Error> {
        let (parts, body) = request.into_parts();
        body::media_type(&parts.headers, MEDIA_TYPES)?;
        let room = self.app.make_room(self.tenant.id, body::expected(&parts.headers, limit))?;
        let body = body::receive(&parts.headers, body, limit).await?;
        Ok(Received { headers: parts.headers, body, held: self.held.clone().and(room) })
    }

    /// How resources of this kind are shown to the caller.
    pub(super) fn view<'a>(&'a self, kind: Kind, projection: &'a Projection) -> View<'a> {
        View {
            pool: &self.app.pool,
            kind,
            types: &self.tenant.types,
            tenant: self.tenant.id,
            base: &self.base,
            projection,
        }
    }

    /// A change for the road. `body` is what makes it the same as a repeated one, beside method and path.
    pub(super) fn errand(&self, asked: Asked<'_>) -> Errand {
        let Asked { method, kind, id, body, if_match, change, held } = asked;
        let path = match method {
            Method::Post => kind.endpoint().to_owned(),
            _ => format!("{}/{id}", kind.endpoint()),
        };
        let (tenant, method) = (self.tenant.id, method.as_str());
        Errand {
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

/// A request that has arrived.
pub(super) struct Received {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The request's place, and the room that the body takes.
    pub(super) held: Held,
}

/// A change as it was asked for.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) kind: Kind,
    /// The resource; for a create the id that it will have.
    pub(super) id: Uuid,
    pub(super) body: &'a [u8],
    pub(super) if_match: Option<&'a str>,
    pub(super) change: Change,
    /// What it holds while it is under way.
    pub(super) held: Held,
}

/// The kind of resource that the route serves, and the id in the path. What cannot be an id is nobody's.
pub struct Named(pub(super) Kind, pub(super) Uuid);

impl FromRequestParts<Shared> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refusal> {
        let kind: Result<Extension<Kind>, _> = Extension::from_request_parts(parts, state).await;
        let Ok(Extension(kind)) = kind else { return Err(Refusal::bug("a route without its kind")) };
        let given: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let id = given.ok().and_then(|Path(text)| shared::id::parse(&text));
        Ok(Self(kind, id.ok_or_else(|| kind.not_found())?))
    }
}

//! Middleware that gives every request an id, a span and, if it had a valid key, one log line. The line has the route's
//! pattern, never the path or the query: those contain userNames. Requests without a valid key are counted.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, info, info_span};
use uuid::Uuid;

use super::tally;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    /// Whether the key of this task's request was valid.
    static ADMITTED: Arc<AtomicBool>;
}

/// The field with the name of the tenant, which is known if the key is valid.
const TENANT: &str = "tenant";

/// The request's id. It is in the response's `X-Request-Id`, in the command, and in the logs of all services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_else(|| Self(platform::id::new())))
    }
}

/// Handles a request and logs its result.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let id = platform::id::new();
    request.extensions_mut().insert(RequestId(id));
    let line = Line::begin(id, &request);
    let handled = next.run(request).instrument(line.span.clone());
    let mut response = ADMITTED.scope(line.is_admitted.clone(), handled).await;
    let value = HeaderValue::try_from(id.to_string()).expect("a UUID is hexadecimal digits and hyphens");
    response.headers_mut().insert(X_REQUEST_ID, value);
    line.end(&response);
    response
}

/// Records a value in the request's span; `name` is one of the span's fields.
pub fn note(name: &str, value: impl std::fmt::Display) {
    if name == TENANT {
        // Fails outside of a request.
        let _ = ADMITTED.try_with(|is_admitted| is_admitted.store(true, Ordering::Relaxed));
    }
    Span::current().record(name, tracing::field::display(value));
}

/// The log line of a request. If it is dropped before the response, it logs that the client disconnected.
struct Line {
    span: Span,
    method: &'static str,
    /// The pattern of the route; `None` if there is no such path.
    route: Option<String>,
    is_admitted: Arc<AtomicBool>,
    began: Instant,
    has_ended: bool,
}

impl Line {
    fn begin(id: Uuid, request: &Request) -> Self {
        let span = info_span!(
            "request",
            request.id = %id,
            tenant = Empty,
            key.id = Empty,
            command = Empty,
            outcome = Empty,
        );
        let route = request.extensions().get::<MatchedPath>();
        Self {
            span,
            method: method(request.method()),
            route: route.map(|route| route.as_str().to_owned()),
            is_admitted: Arc::default(),
            began: Instant::now(),
            has_ended: false,
        }
    }

    fn end(mut self, response: &Response) {
        self.has_ended = true;
        let status = response.status();
        let (method, route, duration_ms) = (self.method, self.route(), self.duration_ms());
        // A bug of this server has a line in any case.
        let is_logged = self.is_logged(Some(status)) || status == StatusCode::INTERNAL_SERVER_ERROR;
        let status = status.as_u16();
        if is_logged {
            info!(parent: &self.span, method, route, status, duration_ms, "answered");
        } else {
            debug!(parent: &self.span, method, route, status, duration_ms, "answered");
        }
    }

    /// Whether it is logged one by one. The others are counted.
    fn is_logged(&self, status: Option<StatusCode>) -> bool {
        self.is_admitted.load(Ordering::Relaxed) || tally::count(self.route.as_deref(), status)
    }

    fn route(&self) -> &str {
        self.route.as_deref().unwrap_or("none")
    }

    fn duration_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (method, route, duration_ms) = (self.method, self.route(), self.duration_ms());
        if self.is_logged(None) {
            info!(parent: &self.span, method, route, duration_ms, "client disconnected");
        } else {
            debug!(parent: &self.span, method, route, duration_ms, "client disconnected");
        }
    }
}

/// The method for the log. Clients can send any word, so unknown methods are logged as `other`.
pub fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

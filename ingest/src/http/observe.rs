//! Middleware that gives every request an id, a span and one log line. The line has the route's pattern, never the path
//! or the query: those contain userNames.

use std::convert::Infallible;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::field::Empty;
use tracing::{Instrument, Span, info, info_span};
use uuid::Uuid;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    let mut response = next.run(request).instrument(line.span.clone()).await;
    let value = HeaderValue::try_from(id.to_string()).expect("a UUID is hexadecimal digits and hyphens");
    response.headers_mut().insert(X_REQUEST_ID, value);
    line.end(&response);
    response
}

/// Records a value in the request's span; `name` is one of the span's fields.
pub fn note(name: &str, value: impl std::fmt::Display) {
    Span::current().record(name, tracing::field::display(value));
}

/// The log line of a request. If it is dropped before the response, it logs that the client disconnected.
struct Line {
    span: Span,
    method: &'static str,
    route: String,
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
            route: route.map_or("none", MatchedPath::as_str).to_owned(),
            began: Instant::now(),
            has_ended: false,
        }
    }

    fn end(mut self, response: &Response) {
        self.has_ended = true;
        info!(
            parent: &self.span,
            method = self.method,
            route = self.route,
            status = response.status().as_u16(),
            duration_ms = self.duration_ms(),
            "answered"
        );
    }

    fn duration_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.has_ended {
            let duration_ms = self.duration_ms();
            info!(parent: &self.span, method = self.method, route = self.route, duration_ms, "client disconnected");
        }
    }
}

/// The method for the log. Clients can send any word, so unknown methods are logged as `other`.
pub fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

//! The form of all responses: SCIM JSON, also for every error, since Okta cannot handle errors in other forms.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use platform::http::Fault;
use serde_json::{Value, json};
use tracing::{debug, error, warn};

use super::tally;

/// The media type of all SCIM responses (RFC 7644 §3.1).
const MEDIA_TYPE: &str = "application/scim+json;charset=utf-8";
/// The default `Retry-After` in seconds. It must be an integer: Okta waits five minutes if it is anything else.
const TRY_AGAIN: u64 = 5;
/// `WWW-Authenticate` (RFC 9110 §11.6.1).
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="Rollcall", Bearer realm="Rollcall""#);

/// The error for a query that exceeds its time limit.
const BROAD: &str = "the query takes too long; use a narrower filter or omit sortBy";

/// 400 `tooMany` (RFC 7644 §3.12): the query compares `terms` values with each resource, of which there are more than
/// `rows`.
fn too_many_terms(terms: i64, rows: i64) -> scim::Error {
    let values = if terms == 1 { "1 value".to_owned() } else { format!("{terms} values") };
    scim::Error::too_many(format!(
        "the query compares {values} with each resource, which is possible for at most {rows} resources of a tenant; \
         use a filter that an index answers (eq of userName, externalId, id, displayName or emails), fewer comparisons, \
         or no sortBy"
    ))
}

/// What a handler returns.
pub type HandlerResult = Result<Response, Refusal>;

/// A response with a body.
#[must_use]
pub fn scim_json(status: StatusCode, body: &Value) -> Response {
    scim_json_of(status, body.to_string())
}

/// A response with a body that is JSON already.
#[must_use]
pub fn scim_json_of(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// The media type and the body of the response to invalid HTTP or an oversized request head. No route handles these,
/// but the response is a SCIM error like all others.
#[must_use]
pub fn unreadable(fault: Fault) -> (&'static str, String) {
    tally::count_unreadable(fault.status());
    let detail = match fault {
        Fault::NotHttp => "the request is not valid HTTP/1.1",
        Fault::Host => {
            "the request must have exactly one Host header, a host name or address with an optional port"
        }
        Fault::UriTooLong => "the URI is too long; send a long filter by POST to /.search",
        Fault::HeaderTooLarge => "the header fields are too large or too many",
    };
    (MEDIA_TYPE, json!(scim::Error::new(fault.status().as_u16(), None, detail)).to_string())
}

/// The error that a response shows, as an extension of the response. The audit trail records it.
#[derive(Clone, Debug)]
pub struct Shown(pub scim::Error);

/// A SCIM error response, with the header that its status requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    error: scim::Error,
    /// The `Retry-After` of a 429, in seconds.
    retry_after: u64,
}

impl Refusal {
    /// 429: the same request may succeed later. This is the only status that Okta retries.
    pub fn try_again(detail: impl Into<String>) -> Self {
        scim::Error::too_many_requests(detail).into()
    }

    /// 429 with `Retry-After`, rounded up to whole seconds, at least one.
    pub fn try_again_in(wait: Duration, detail: impl Into<String>) -> Self {
        let retry_after = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after: retry_after.max(1), ..Self::try_again(detail) }
    }

    /// 500: a bug in this server. The cause is logged and not sent to the client.
    pub fn bug(cause: impl std::fmt::Display) -> Self {
        error!(%cause, "internal server error");
        scim::Error::internal(
            "internal server error; the server's log has the details under this X-Request-Id",
        )
        .into()
    }

    /// The response to a failed read.
    pub fn unread(error: &database::Error) -> Self {
        match error {
            database::Error::Refused(_) => return Self::bug(error),
            database::Error::TooBroad => return scim::Error::too_many(BROAD).into(),
            database::Error::TooManyTerms { terms, rows } => return too_many_terms(*terms, *rows).into(),
            _ => {}
        }
        // The Postgres watcher logs once that Postgres is unavailable.
        if error.is_transient() && !matches!(error, database::Error::Unfit(_)) {
            debug!(%error, "failed to read from the database");
        } else {
            warn!(%error, "failed to read from the database");
        }
        Self::try_again("the database cannot be read at the moment; try again")
    }

    /// The response when an asynchronous request could not be recorded. Nothing was queued.
    pub fn not_recorded(error: &database::Error) -> Self {
        debug!(%error, "failed to record an asynchronous request");
        Self::try_again("the request cannot be recorded at the moment; nothing was queued; try again")
    }

    /// Whether the status is 401.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.error.status == 401
    }

    /// The response when a message could not be queued.
    pub fn not_queued(error: &amqp::Error) -> Self {
        // The link logs once that RabbitMQ is unavailable.
        debug!(%error, "failed to publish");
        Self::try_again(
            "the queue accepts no messages at the moment; nothing was queued and nothing was changed; try again",
        )
    }
}

impl From<scim::Error> for Refusal {
    fn from(error: scim::Error) -> Self {
        Self { error, retry_after: TRY_AGAIN }
    }
}

/// For the errors inside a Bulk response.
impl From<Refusal> for scim::Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { error, retry_after } = self;
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = scim_json(status, &json!(error));
        let header: Option<(HeaderName, HeaderValue)> = match status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, CHALLENGE)),
            StatusCode::TOO_MANY_REQUESTS => Some((RETRY_AFTER, HeaderValue::from(retry_after))),
            StatusCode::REQUEST_TIMEOUT => Some((CONNECTION, HeaderValue::from_static("close"))),
            _ => None,
        };
        response.headers_mut().extend(header);
        response.extensions_mut().insert(Shown(error));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_scim_json_with_the_header_of_its_status() {
        for (refusal, status, header) in [
            (Refusal::from(scim::Error::unauthorized("x")), 401, Some("www-authenticate")),
            (Refusal::try_again("x"), 429, Some("retry-after")),
            (Refusal::from(scim::Error::not_found("x")), 404, None),
            (Refusal::bug("x"), 500, None),
        ] {
            let response = refusal.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["content-type"], "application/scim+json;charset=utf-8");
            assert!(header.is_none_or(|name| response.headers().contains_key(name)));
        }
    }

    #[test]
    fn retry_after_is_an_integer_rounded_up() {
        for (wait_ms, expected) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_999, "60")] {
            let response = Refusal::try_again_in(Duration::from_millis(wait_ms), "x").into_response();
            assert_eq!(response.headers()["retry-after"], expected, "{wait_ms}");
        }
        assert_eq!(Refusal::try_again("x").into_response().headers()["retry-after"], "5");
    }
}

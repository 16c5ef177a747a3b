//! The form of all answers: SCIM JSON, whatever went wrong. Okta fails a second time over an error that is none.
//!
//! Before it: the handlers. After it: the client.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use shared::{amqp, postgres, scim};
use tracing::{debug, error, warn};

/// The media type of all SCIM answers (RFC 7644 §3.1).
const MEDIA_TYPE: &str = "application/scim+json;charset=utf-8";
/// Seconds until a client should try again, unless it is known better; an integer, since Okta waits five minutes at
/// anything else.
const TRY_AGAIN: u64 = 5;
/// How to identify oneself (RFC 9110 §11.6.1).
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="Rollcall", Bearer realm="Rollcall""#);

/// What whoever asks for too much is told.
const BROAD: &str = "the query takes too long: narrow its filter, or ask without sortBy";

/// What a handler returns.
pub type Answer = Result<Response, Refusal>;

/// An answer with a body.
#[must_use]
pub fn scim_json(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// The media type and the body of the answer to what is not HTTP, or too long: it comes before any route, and is a SCIM error
/// like all others.
#[must_use]
pub fn unreadable(status: StatusCode) -> (&'static str, String) {
    let detail = match status {
        StatusCode::URI_TOO_LONG => {
            "the URI is longer than this server reads; a long filter can be sent by POST to /.search"
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "the header fields are larger, or more, than this server reads"
        }
        _ => "the request is not valid HTTP/1.1",
    };
    (MEDIA_TYPE, json!(scim::Error::new(status.as_u16(), None, detail)).to_string())
}

/// A SCIM error, with the header that its status calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    error: scim::Error,
    /// Seconds, for a 429.
    retry_after: u64,
}

impl Refusal {
    /// 429: nothing was decided; the same request again may succeed. The only status that Okta repeats by itself.
    pub fn try_again(detail: impl Into<String>) -> Self {
        scim::Error::too_many_requests(detail).into()
    }

    /// The same for a client that is to wait for so long: at least a second, and whole ones.
    pub fn try_again_in(wait: Duration, detail: impl Into<String>) -> Self {
        let retry_after = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after: retry_after.max(1), ..Self::try_again(detail) }
    }

    /// 500: a bug of ours. The cause goes to the log, not to the client.
    pub fn bug(cause: impl std::fmt::Display) -> Self {
        error!(%cause, "failed to answer a request");
        scim::Error::internal("something went wrong on our side; our log has it under this X-Request-Id")
            .into()
    }

    /// A read that failed.
    pub fn unread(error: &postgres::Error) -> Self {
        match error {
            postgres::Error::Refused(_) => return Self::bug(error),
            postgres::Error::TooBroad => return scim::Error::too_many(BROAD).into(),
            _ => {}
        }
        // That Postgres is away is logged once, by whoever watches it.
        if error.is_transient() && !matches!(error, postgres::Error::Unfit(_)) {
            debug!(%error, "failed to read the roster");
        } else {
            warn!(%error, "failed to read the roster");
        }
        Self::try_again("the roster cannot be read at the moment; try again")
    }

    /// A promise that could not be written down: nothing was queued.
    pub fn not_noted(error: &postgres::Error) -> Self {
        debug!(%error, "failed to write a promise down");
        Self::try_again("asynchronous requests cannot be taken at the moment: nothing was queued; try again")
    }

    /// Whether it says that the credentials are wrong.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        self.error.status == 401
    }

    /// A message that did not get into its queue.
    pub fn not_queued(error: &amqp::Error) -> Self {
        // That RabbitMQ is away is logged once, by the link.
        debug!(%error, "failed to publish");
        Self::try_again(
            "the queue takes nothing at the moment: nothing was queued and nothing was changed; try again",
        )
    }
}

impl From<scim::Error> for Refusal {
    fn from(error: scim::Error) -> Self {
        Self { error, retry_after: TRY_AGAIN }
    }
}

/// For a refusal inside an answer, as Bulk has them.
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
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_scim_json_with_the_header_of_its_status() {
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

//! The form of all answers: SCIM JSON, whatever went wrong. Okta fails a second time over an error that is none.
//!
//! Before it: the handlers. After it: the client.

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use shared::{amqp, postgres, scim};
use tracing::{debug, error, warn};

/// The media type of all SCIM answers (RFC 7644 §3.1).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/scim+json;charset=utf-8");
/// Seconds until a client should try again; an integer, since Okta waits five minutes at anything else.
const TRY_AGAIN: HeaderValue = HeaderValue::from_static("5");
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
    response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
    response
}

/// A SCIM error, with the header that its status calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(scim::Error);

impl Refusal {
    /// 429: nothing was decided; the same request again may succeed. The only status that Okta repeats by itself.
    pub fn try_again(detail: impl Into<String>) -> Self {
        Self(scim::Error::too_many_requests(detail))
    }

    /// 500: a bug of ours. The cause goes to the log, not to the client.
    pub fn bug(cause: impl std::fmt::Display) -> Self {
        error!(%cause, "failed to answer a request");
        Self(scim::Error::internal(
            "something went wrong on our side; our log has it under this X-Request-Id",
        ))
    }

    /// A read that failed.
    pub fn unread(error: &postgres::Error) -> Self {
        match error {
            postgres::Error::Refused(_) => return Self::bug(error),
            postgres::Error::TooBroad => return Self(scim::Error::too_many(BROAD)),
            _ => {}
        }
        // That Postgres is away is logged once, by whoever watches it.
        if error.is_transient() {
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
        Self(error)
    }
}

/// For a refusal inside an answer, as Bulk has them.
impl From<Refusal> for scim::Error {
    fn from(Refusal(error): Refusal) -> Self {
        error
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = scim_json(status, &json!(error));
        let header: Option<(HeaderName, HeaderValue)> = match status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, CHALLENGE)),
            StatusCode::TOO_MANY_REQUESTS => Some((RETRY_AFTER, TRY_AGAIN)),
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
    fn retry_after_is_an_integer() {
        assert!(TRY_AGAIN.to_str().unwrap().parse::<u32>().is_ok());
    }
}

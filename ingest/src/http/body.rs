//! Reads the body of a request, with checks of its media type, its size and the time it takes. After an early error the
//! HTTP server discards the rest of the body. The server also limits the time, for whoever reads a body.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::StreamExt;
use platform::http::is_late;
use scim::Error;
use tokio::time::timeout;

/// The time limit for receiving a body.
const ARRIVAL: Duration = Duration::from_secs(30);
/// The answer to a body that takes too long, after `ARRIVAL` or `Times::silence`.
const LATE: &str = "the body did not arrive within 30 seconds, or nothing of it for 10 seconds";

/// The media type of the body, one of `taken`; `None` if there is no `Content-Type`.
///
/// # Errors
/// 415 for any other media type, and for a compressed body.
pub fn media_type(headers: &HeaderMap, taken: &[&'static str]) -> Result<Option<&'static str>, Error> {
    for encoding in headers.get_all(CONTENT_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            return Err(Error::unsupported_media_type("the body must be sent without Content-Encoding"));
        }
    }
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(None) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match taken.iter().find(|name| name.eq_ignore_ascii_case(essence)) {
        Some(found) => Ok(Some(found)),
        None => {
            Err(Error::unsupported_media_type(format!("the Content-Type must be {}", taken.join(" or "))))
        }
    }
}

/// The whole body, of at most `limit` bytes, with or without a `Content-Length`.
///
/// # Errors
/// 413 that names the limit, 408 if the body takes too long, 400 if it is incomplete.
pub async fn receive(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Error> {
    let content_length = content_length(headers);
    let arrived = if content_length > limit {
        Arrived::TooMuch
    } else {
        let stream = body.into_data_stream();
        timeout(ARRIVAL, collect(stream, content_length, limit)).await.unwrap_or(Arrived::Late)
    };
    arrived.whole(limit)
}

/// Whether the body consists of exactly these bytes. At the first difference the rest is not read.
///
/// # Errors
/// 408 if the body takes too long, 400 if it is incomplete.
pub async fn is(body: Body, expected: &[u8]) -> Result<bool, Error> {
    let mut rest = expected;
    let mut stream = body.into_data_stream();
    let compare = async {
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Arrived::failed(&error))?;
            let Some(after) = rest.strip_prefix(&*chunk) else { return Ok(false) };
            rest = after;
        }
        Ok(rest.is_empty())
    };
    let compared = timeout(ARRIVAL, compare).await.unwrap_or(Err(Arrived::Late));
    compared.or_else(|failed: Arrived| failed.whole(0).map(|_| false))
}

enum Arrived {
    Whole(Bytes),
    TooMuch,
    Broken,
    Late,
}

impl Arrived {
    fn failed(error: &axum::Error) -> Self {
        if is_late(error) { Self::Late } else { Self::Broken }
    }

    fn whole(self, limit: usize) -> Result<Bytes, Error> {
        match self {
            Self::Whole(bytes) => Ok(bytes),
            Self::Broken => Err(Error::invalid_syntax("the body is incomplete")),
            Self::Late => Err(Error::new(408, None, LATE)),
            Self::TooMuch => {
                Err(Error::payload_too_large(format!("the body is larger than the limit of {limit} bytes")))
            }
        }
    }
}

/// The `Content-Length` in bytes; 0 if there is none. The HTTP server has checked that it is a number.
pub fn content_length(headers: &HeaderMap) -> usize {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.map_or(0, |length| length.trim().parse().unwrap_or(usize::MAX))
}

/// The largest size that the body can have, in bytes.
pub fn expected(headers: &HeaderMap, limit: usize) -> usize {
    if headers.contains_key(CONTENT_LENGTH) { content_length(headers).min(limit) } else { limit }
}

async fn collect(mut stream: BodyDataStream, content_length: usize, limit: usize) -> Arrived {
    let mut bytes = Vec::with_capacity(content_length);
    while let Some(chunk) = stream.next().await {
        match chunk {
            Err(error) => return Arrived::failed(&error),
            Ok(chunk) if bytes.len() + chunk.len() > limit => return Arrived::TooMuch,
            Ok(chunk) => bytes.extend_from_slice(&chunk),
        }
    }
    Arrived::Whole(bytes.into())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    const TAKEN: &[&str] = &["application/json", "application/scim+json"];

    fn headers(given: &[(HeaderName, &str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn json_and_scim_json_are_accepted_with_any_parameters() {
        for (given, expected) in [
            (None, Ok(None)),
            (Some("application/json"), Ok(Some("application/json"))),
            (Some("Application/SCIM+JSON; charset=utf-8"), Ok(Some("application/scim+json"))),
            (Some("application/scim+json;charset=utf-8;q=1"), Ok(Some("application/scim+json"))),
            (Some("text/plain"), Err(415)),
            (Some("application/jsonp"), Err(415)),
            (Some(""), Err(415)),
        ] {
            let given: Vec<_> = given.map(|value| (CONTENT_TYPE, value)).into_iter().collect();
            assert_eq!(
                media_type(&headers(&given), TAKEN).map_err(|error| error.status),
                expected,
                "{given:?}"
            );
        }
    }

    #[test]
    fn error_lists_the_accepted_media_types() {
        let error = media_type(&headers(&[(CONTENT_TYPE, "text/xml")]), TAKEN).unwrap_err();
        assert_eq!(error.detail, "the Content-Type must be application/json or application/scim+json");
    }

    #[test]
    fn compressed_bodies_are_rejected() {
        for (encoding, is_taken) in
            [("identity", true), ("Identity", true), ("gzip", false), ("gzip, identity", false)]
        {
            assert_eq!(
                media_type(&headers(&[(CONTENT_ENCODING, encoding)]), TAKEN).is_ok(),
                is_taken,
                "{encoding}"
            );
        }
    }

    #[tokio::test]
    async fn limit_applies_with_and_without_a_content_length() {
        let chunked = |size: usize| {
            let chunks =
                std::iter::repeat_n(Ok::<_, std::convert::Infallible>(Bytes::from_static(b"x")), size);
            Body::from_stream(futures_util::stream::iter(chunks))
        };
        for (size, fits) in [(0, true), (10, true), (11, false), (10_000, false)] {
            let length = headers(&[(CONTENT_LENGTH, &size.to_string())]);
            let whole = receive(&length, Body::from(vec![b'x'; size]), 10).await;
            let in_chunks = receive(&HeaderMap::new(), chunked(size), 10).await;
            assert_eq!(whole, in_chunks);
            assert_eq!(whole.is_ok(), fits, "{size}");
            if let Err(error) = whole {
                assert!(error.status == 413 && error.detail.contains("10 bytes"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_compared_without_reading_more_than_needed() {
        let endless = |first: &'static [u8]| {
            let chunks = std::iter::once(Bytes::from_static(first))
                .chain(std::iter::repeat(Bytes::from_static(b"x")))
                .map(Ok::<_, std::convert::Infallible>);
            Body::from_stream(futures_util::stream::iter(chunks))
        };
        for (body, expected) in [
            (Body::from("again=yes"), true),
            (Body::empty(), false),
            (Body::from("again"), false),
            (Body::from("again=yes&x=1"), false),
            (Body::from("List-Unsubscribe=One-Click"), false),
            (endless(b"again=yes"), false),
            (endless(b"no=more"), false),
        ] {
            assert_eq!(is(body, b"again=yes").await, Ok(expected));
        }
        let broken =
            Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
        assert_eq!(is(broken, b"again=yes").await.unwrap_err().status, 400);
    }

    #[tokio::test]
    async fn incomplete_body_is_rejected() {
        let chunks = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))];
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        assert_eq!(receive(&HeaderMap::new(), body, 10).await.unwrap_err().status, 400);
    }
}

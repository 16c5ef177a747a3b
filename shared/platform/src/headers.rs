//! The headers that every response of every service has: nothing is stored by a cache between client and server, and no
//! browser guesses another media type than the declared one.

use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

/// No cache stores a response.
pub(crate) const NO_STORE: &str = "no-store";
/// No browser guesses a media type.
pub(crate) const NO_SNIFF: &str = "nosniff";

/// Adds the headers to a response, for `axum::middleware::map_response`. A `Cache-Control` that is there stays.
pub async fn protect(mut response: Response) -> Response {
    add(response.headers_mut());
    response
}

fn add(headers: &mut HeaderMap) {
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static(NO_STORE));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static(NO_SNIFF));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_control_that_is_there_stays() {
        for (given, expected) in [(None, "no-store"), (Some("private"), "private")] {
            let mut headers = HeaderMap::new();
            headers.extend(given.map(|given| (CACHE_CONTROL, HeaderValue::from_static(given))));
            add(&mut headers);
            assert_eq!(headers["cache-control"], expected);
            assert_eq!(headers["x-content-type-options"], "nosniff");
        }
    }
}

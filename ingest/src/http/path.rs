//! Slashes: a client whose base URL ends with one asks for `/scim/v2//Users`, and means `/scim/v2/Users`.
//!
//! Before it: the HTTP server. After it: the router, which knows each path in one form.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Lets a request through under its path with single slashes.
pub async fn normalise(mut request: Request) -> Request {
    if let Some(uri) = single_slashed(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// A URI whose path has double slashes, without them. The query is left as it is.
fn single_slashed(uri: &Uri) -> Option<Uri> {
    let Cow::Owned(path) = single_slashes(uri.path()) else { return None };
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

/// A path in which no slash follows another.
#[must_use]
pub fn single_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return path.into();
    }
    let mut last = None;
    path.chars().filter(|c| last.replace(*c) != Some('/') || *c != '/').collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_has_one_form_and_the_query_is_left() {
        for (given, expected) in [
            ("/scim/v2/Users", "/scim/v2/Users"),
            ("/scim/v2//Users", "/scim/v2/Users"),
            ("//scim//v2/Users//", "/scim/v2/Users/"),
            ("/scim/v2////Users///1?filter=a//b&x=http://y", "/scim/v2/Users/1?filter=a//b&x=http://y"),
            ("/scim/v2/Users%2F%2F1?", "/scim/v2/Users%2F%2F1?"),
            ("http://scim.example//scim/v2//Users?count=1", "http://scim.example/scim/v2/Users?count=1"),
            ("*", "*"),
        ] {
            let mut request = Request::default();
            *request.uri_mut() = given.parse().unwrap();
            assert_eq!(normalise(request).await.uri().to_string(), expected, "{given}");
        }
    }
}

//! Normalizes slashes: a client whose base URL ends with a slash requests `/scim/v2//Users` instead of
//! `/scim/v2/Users`.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Replaces double slashes in the request's path.
pub async fn normalize(mut request: Request) -> Request {
    if let Some(uri) = single_slashed(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The URI with single slashes; `None` if it has no double slashes. The query stays unchanged.
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

/// The path with single slashes.
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
    async fn path_is_normalized_and_the_query_is_unchanged() {
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
            assert_eq!(normalize(request).await.uri().to_string(), expected, "{given}");
        }
    }
}

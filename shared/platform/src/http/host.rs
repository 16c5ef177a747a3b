//! The check of the `Host` header (RFC 9112 §3.2).

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Version};

/// Whether there is the one valid `Host` that HTTP/1.1 requires. HTTP/1.0 may omit it.
pub(super) fn is_valid(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => is_host(host),
        (Some(_), Some(_)) => false,
    }
}

/// A host with an optional port. It may be empty (RFC 9110 §7.2).
fn is_host(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    if text.is_empty() {
        return true;
    }
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let port = text.strip_prefix(authority.host()).unwrap_or(text);
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok());
    !authority.host().is_empty() && is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_1_1_needs_one_valid_host() {
        for (version, hosts, is_expected) in [
            (Version::HTTP_11, &["scim.example"][..], true),
            (Version::HTTP_11, &["scim.example:8443"], true),
            (Version::HTTP_11, &["scim.example:"], true),
            (Version::HTTP_11, &["[2001:db8::1]:80"], true),
            (Version::HTTP_11, &["192.0.2.1"], true),
            (Version::HTTP_11, &[""], true),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a.example", "b.example"], false),
            (Version::HTTP_11, &["a.example", "a.example"], false),
            (Version::HTTP_11, &["a.example, b.example"], false),
            (Version::HTTP_11, &["me@a.example"], false),
            (Version::HTTP_11, &["a.example/x"], false),
            (Version::HTTP_11, &["http://a.example"], false),
            (Version::HTTP_11, &["a.example:port"], false),
            (Version::HTTP_11, &["a.example:70000"], false),
            (Version::HTTP_11, &[":80"], false),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["[::1"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_10, &["a.example"], true),
            (Version::HTTP_10, &["a.example", "b.example"], false),
        ] {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, host.parse().unwrap());
            }
            assert_eq!(is_valid(version, &headers), is_expected, "{version:?} {hosts:?}");
        }
    }
}

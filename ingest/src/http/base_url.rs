//! The base URL as the client sees it, for `meta.location` and the `Location` header.

use std::convert::Infallible;
use std::net::{Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};

/// The path of the SCIM endpoints.
pub const BASE_PATH: &str = "/scim/v2";

/// The maximum length of a host name, in bytes (RFC 1035 §2.3.4).
const MAX_HOST: usize = 255;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The part of the base URL before the base path, e.g. `https://scim.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Arc<str>);

impl FromStr for PublicUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem = "must be a URL such as https://scim.example.com, without user, query or fragment";
        let url = url::Url::parse(text).map_err(|_| problem)?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return Err(problem);
        }
        // Admins paste the base URL that they enter in Okta.
        let front = url.as_str().trim_end_matches('/');
        let front = front.strip_suffix(BASE_PATH).unwrap_or(front);
        Ok(Self(front.trim_end_matches('/').into()))
    }
}

/// The base URL of this request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(pub String);

impl BaseUrl {
    /// The configured base URL; else the one that the headers imply; else the listening address. A server that listens
    /// on another address than loopback has a configured one, so that no client chooses the URLs in responses.
    #[must_use]
    pub fn of(public: Option<&PublicUrl>, headers: &HeaderMap, listen: SocketAddr) -> Self {
        match public {
            Some(PublicUrl(front)) => Self(format!("{front}{BASE_PATH}")),
            None => {
                let host = host(headers).map_or_else(|| listen.to_string(), |host| host.to_string());
                Self(format!("{}://{host}{BASE_PATH}", scheme(headers)))
            }
        }
    }
}

/// Where this server is found, as far as it is configured.
#[derive(Clone, Debug)]
pub struct Site {
    /// The URL that proxies are asked for.
    pub public_url: Option<PublicUrl>,
    /// The address that it listens on.
    pub listen: SocketAddr,
}

impl<S> FromRequestParts<S> for BaseUrl
where
    Site: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let Site { public_url, listen } = Site::from_ref(state);
        Ok(Self::of(public_url.as_ref(), &parts.headers, listen))
    }
}

/// The scheme of the client's request to the outermost proxy.
fn scheme(headers: &HeaderMap) -> &'static str {
    let forwarded = headers.get(X_FORWARDED_PROTO).and_then(|value| value.to_str().ok());
    let first = forwarded.and_then(|list| list.split(',').next()).map(str::trim);
    if first.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" }
}

/// The `Host` header, if there is exactly one and it is a name or an address with an optional port.
fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    let authority: Authority = host.to_str().ok()?.parse().ok()?;
    let name = authority.host();
    let is_name = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        // The syntax of URLs allows more, such as quotes and percent-encoding.
        None => name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    let with_port = authority.port_u16().map(|port| format!("{name}:{port}"));
    let is_plain = authority.as_str() == name || with_port.is_some_and(|plain| authority.as_str() == plain);
    (is_name && is_plain && !name.is_empty() && name.len() <= MAX_HOST).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(public: Option<&str>, given: &[(&'static str, &str)]) -> String {
        let public = public.map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        BaseUrl::of(public.as_ref(), &headers, "127.0.0.1:8080".parse().unwrap()).0
    }

    #[test]
    fn the_base_url_is_what_the_client_sees() {
        let listen = "http://127.0.0.1:8080/scim/v2";
        for (public, headers, expected) in [
            (None, &[("host", "scim.example")][..], "http://scim.example/scim/v2"),
            (
                None,
                &[("host", "scim.example:8443"), ("x-forwarded-proto", "https")],
                "https://scim.example:8443/scim/v2",
            ),
            (
                None,
                &[("host", "scim.example"), ("x-forwarded-proto", "HTTPS, http")],
                "https://scim.example/scim/v2",
            ),
            (
                None,
                &[("host", "scim.example"), ("x-forwarded-proto", "javascript")],
                "http://scim.example/scim/v2",
            ),
            (None, &[("host", "[::1]:8080")], "http://[::1]:8080/scim/v2"),
            (None, &[], listen),
            (None, &[("host", "")], listen),
            (None, &[("host", "a/b?c")], listen),
            (None, &[("host", "me@scim.example")], listen),
            (None, &[("host", "scim.example:")], listen),
            (None, &[("host", "scim.example:99999")], listen),
            (None, &[("host", "scim.example';--")], listen),
            (None, &[("host", "scim%2eexample")], listen),
            (None, &[("host", "[::1")], listen),
            (None, &[("host", "[v1.x]")], listen),
            (None, &[("host", "my_host.internal:80")], "http://my_host.internal:80/scim/v2"),
            (None, &[("host", "a.example"), ("host", "b.example")], listen),
            (Some("https://scim.example.com"), &[("host", "other")], "https://scim.example.com/scim/v2"),
            (Some("https://scim.example.com/"), &[], "https://scim.example.com/scim/v2"),
            (Some("https://example.com/roll/scim/v2/"), &[], "https://example.com/roll/scim/v2"),
            (Some("https://scim.example.com//scim/v2"), &[], "https://scim.example.com/scim/v2"),
        ] {
            assert_eq!(base(public, headers), expected, "{public:?} {headers:?}");
        }
    }

    #[test]
    fn invalid_public_url_is_rejected() {
        for text in [
            "scim.example",
            "ftp://scim.example",
            "https://me:pw@scim.example",
            "https://scim.example?x=1",
            "https://",
        ] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }
}

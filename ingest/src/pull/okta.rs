//! Okta's API, as far as the pull needs it: a page of a group's users, the link to the next one, and how long to wait.
//!
//! Before it: a tenant's URL and token. After it: a page, or the reason why there is none and whether to try again.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, AUTHORIZATION, DATE, LINK, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use shared::clock::Clock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::timeout;
use url::Url;

/// The most people on a page, which is Okta's most.
const PAGE: u32 = 200;
/// The largest page, in bytes.
const MAX_BODY: usize = 32 << 20;
/// How long a page may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long to wait where Okta says that its limit is reached, and not until when.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest wait that is believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// A connection to a tenant's Okta.
pub struct Okta {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    origin: Url,
    first: Url,
    authorization: HeaderValue,
    clock: Clock,
}

/// A page of a group.
#[derive(Debug, PartialEq)]
pub struct Page {
    /// The users on it, as Okta writes them.
    pub users: Vec<Value>,
    /// Where the next one is, if this is not the last.
    pub next: Option<String>,
    /// How long to wait before the next request: this one used the limit up.
    pub pause: Option<Duration>,
}

/// Why there is no page. Nothing that Okta said is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It will be refused again.
    #[error("{0}")]
    Refused(String),
    /// It may work later.
    #[error("{0}")]
    Away(String),
    /// It works after this time.
    #[error("Okta's rate limit is reached")]
    Limited(Duration),
}

impl Okta {
    /// A connection; nothing is sent yet.
    ///
    /// # Errors
    /// Why there cannot be one, in a sentence that holds no secret.
    pub fn new(origin: &str, group: &str, token: &str, clock: Clock) -> Result<Self, String> {
        let origin = Url::parse(origin).map_err(|_| "the stored URL of Okta is none".to_owned())?;
        let path = format!("/api/v1/groups/{group}/users?limit={PAGE}");
        let first = origin.join(&path).map_err(|_| "the stored id of the group is none".to_owned())?;
        let mut authorization = HeaderValue::from_str(&format!("SSWS {token}"))
            .map_err(|_| "the stored token is none".to_owned())?;
        authorization.set_sensitive(true);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        // Which of the two it is was decided when the URL was set.
        let tls = shared::tls::client().map_err(|said| format!("Okta's URL {said}"))?;
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(https.wrap_connector(tcp));
        Ok(Self { client, origin, first, authorization, clock })
    }

    /// The page under a link, or the first one.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn page(&self, link: Option<&str>) -> Result<Page, Failure> {
        let url = match link {
            None => self.first.clone(),
            Some(link) => self.own(link)?,
        };
        let late = |_| Err(Failure::Away("Okta did not answer in time".to_owned()));
        timeout(TIMEOUT, self.get(&url)).await.unwrap_or_else(late)
    }

    /// A link that leads to this very group: the token goes nowhere else.
    fn own(&self, link: &str) -> Result<Url, Failure> {
        let url = self.origin.join(link).ok();
        let own = url.filter(|url| url.origin() == self.origin.origin() && url.path() == self.first.path());
        own.ok_or_else(|| Failure::Refused("Okta names a next page that is not in the group".to_owned()))
    }

    async fn get(&self, url: &Url) -> Result<Page, Failure> {
        let request = Request::get(url.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, &self.authorization)
            .body(Empty::new())
            .map_err(|_| Failure::Refused("the link to a page is none".to_owned()))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|_| Failure::Away("Okta cannot be reached".to_owned()))?;
        if response.status() != StatusCode::OK {
            return Err(self.no_page(&response));
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|_| Failure::Away("Okta's answer broke off".to_owned()))?.to_bytes();
        let users = serde_json::from_slice(&body)
            .map_err(|_| Failure::Away("Okta's answer is no list of users".to_owned()))?;
        let next = next_link(&head.headers).map(|link| self.own(&link).map(String::from)).transpose()?;
        let is_used_up = header(&head.headers, "x-rate-limit-remaining") == Some("0");
        let pause = is_used_up.then(|| pause(&head.headers, self.clock.now()));
        Ok(Page { users, next, pause })
    }

    fn no_page<B>(&self, response: &Response<B>) -> Failure {
        let status = response.status();
        match status.as_u16() {
            429 => Failure::Limited(pause(response.headers(), self.clock.now())),
            401 | 403 => Failure::Refused(format!("Okta refuses the token ({status})")),
            404 => Failure::Refused("Okta knows no such group (404 Not Found)".to_owned()),
            408 | 500.. => Failure::Away(format!("Okta answers {status}")),
            _ => Failure::Refused(format!("Okta refuses the request ({status})")),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// The link with `rel="next"` (RFC 8288), of however many there are.
fn next_link(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(LINK).into_iter().filter_map(|value| value.to_str().ok());
    let mut links = values.flat_map(|value| value.split('<').skip(1));
    let next = links.find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let mut parameters =
            parameters.split([';', ',']).map(|parameter| parameter.trim().to_ascii_lowercase());
        parameters.any(|p| p == r#"rel="next""# || p == "rel=next").then_some(target)
    });
    next.map(str::to_owned)
}

/// How long until there is room again. By Okta's own clock where it tells: ours may be another. Both tell whole
/// seconds, hence one more.
fn pause(headers: &HeaderMap, now: OffsetDateTime) -> Duration {
    let date = header(headers, DATE.as_str()).and_then(|date| OffsetDateTime::parse(date, &Rfc2822).ok());
    let now = date.unwrap_or(now).unix_timestamp();
    let reset = header(headers, "x-rate-limit-reset").and_then(|reset| reset.parse::<i64>().ok());
    let until_reset = reset.map(|reset| reset.saturating_sub(now).saturating_add(1));
    let retry_after = || header(headers, RETRY_AFTER.as_str())?.parse::<i64>().ok();
    let seconds = until_reset.or_else(retry_after);
    let pause = seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    pause.unwrap_or(PAUSE).clamp(Duration::from_secs(1), LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-27 06:00:00.9 UTC);

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (axum::http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn the_next_page_is_found_among_other_links() {
        for (lines, expected) in [
            (
                vec![("link", r#"<https://o/a>; rel="self""#), ("link", r#"<https://o/b>; rel="next""#)],
                Some("https://o/b"),
            ),
            (
                vec![("link", r#"<https://o/a>; rel="self", <https://o/b?x=1,2;3>; rel="next""#)],
                Some("https://o/b?x=1,2;3"),
            ),
            (vec![("link", r#"<https://o/a>; rel="self""#)], None),
            (vec![("link", r#"<https://o/a; rel="next""#)], None),
            (vec![], None),
        ] {
            assert_eq!(next_link(&headers(&lines)).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_pause_ends_when_the_limit_is_reset_by_oktas_clock() {
        let reset = datetime!(2026-11-27 06:00:30 UTC).unix_timestamp().to_string();
        for (lines, expected) in [
            (vec![("x-rate-limit-reset", &*reset)], 31),
            (vec![("x-rate-limit-reset", &*reset), ("date", "Fri, 27 Nov 2026 06:00:10 GMT")], 21),
            (vec![("x-rate-limit-reset", "0")], 1),
            (vec![("x-rate-limit-reset", "9223372036854775807")], 900),
            (vec![("x-rate-limit-reset", "soon"), ("retry-after", "7")], 7),
            (vec![], 60),
        ] {
            assert_eq!(pause(&headers(&lines), NOW), Duration::from_secs(expected), "{lines:?}");
        }
    }

    #[tokio::test]
    async fn the_token_goes_to_no_other_place_than_the_group() {
        let okta = Okta::new("https://acme.okta.com", "00g1", "secret", Clock::System).unwrap();
        assert_eq!(okta.first.as_str(), "https://acme.okta.com/api/v1/groups/00g1/users?limit=200");
        assert!(okta.own("https://acme.okta.com/api/v1/groups/00g1/users?after=x&limit=200").is_ok());
        assert!(okta.own("/api/v1/groups/00g1/users?after=x").is_ok());
        for elsewhere in [
            "http://acme.okta.com/api/v1/groups/00g1/users?after=x",
            "https://evil.example/api/v1/groups/00g1/users?after=x",
            "https://acme.okta.com:444/api/v1/groups/00g1/users?after=x",
            "https://acme.okta.com@evil.example/api/v1/groups/00g1/users",
            "//evil.example/api/v1/groups/00g1/users",
            "https://acme.okta.com/api/v1/users",
        ] {
            let said = okta.page(Some(elsewhere)).await.unwrap_err();
            assert!(matches!(said, Failure::Refused(_)), "{elsewhere}: {said}");
        }
    }
}

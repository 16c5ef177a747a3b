//! A client for Okta's API: reads and parses a page of a group's users, with the link to the next page and the rate
//! limit. Errors say whether to retry.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use domain::pull::AttributeMap;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use platform::clock::Clock;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::elements::{Unsplit, elements};
use super::headers::{self, Unreadable};
use super::page::{Failure, Page};
use super::provider_user::{NoUser, ProviderUser, fits};

/// The users per page, Okta's maximum.
const PAGE: usize = 200;
/// The largest page, in bytes.
const MAX_BODY: usize = 8 << 20;
/// The largest user, in bytes.
const MAX_USER: usize = 256 << 10;
/// The longest link to a page, in bytes.
const MAX_LINK: usize = 4 << 10;
/// The time limit for a page.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The time limit for connecting.
const CONNECT: Duration = Duration::from_secs(10);
/// The status of a user who has left.
const DEPROVISIONED: &str = "DEPROVISIONED";

/// A client for a tenant's Okta.
pub struct Okta {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    origin: Url,
    first: Url,
    map: AttributeMap,
    authorization: HeaderValue,
    clock: Clock,
}

impl Okta {
    /// Creates a client. Sends nothing yet.
    ///
    /// # Errors
    /// Which stored setting is invalid. The message contains no secret.
    pub fn new(
        origin: &str,
        group: &str,
        map: AttributeMap,
        token: &str,
        clock: Clock,
    ) -> Result<Self, String> {
        let origin = Url::parse(origin).map_err(|_| "the stored Okta URL is invalid".to_owned())?;
        let path = format!("/api/v1/groups/{group}/users?limit={PAGE}");
        let first = origin.join(&path).map_err(|_| "the stored group id is invalid".to_owned())?;
        let mut authorization = HeaderValue::from_str(&format!("SSWS {token}"))
            .map_err(|_| "the stored token is invalid".to_owned())?;
        authorization.set_sensitive(true);
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        // Whether plain HTTP is allowed was checked when the URL was set.
        let is_encrypted = origin.scheme() == "https";
        let tls = if is_encrypted { platform::tls::client() } else { platform::tls::without_roots() };
        let tls = tls.map_err(|said| format!("Okta's URL {said}"))?;
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(https.wrap_connector(tcp));
        Ok(Self { client, origin, first, map, authorization, clock })
    }

    /// Reads the page at a link, or the first page.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn page(&self, link: Option<&str>) -> Result<Page, Failure> {
        let url = match link {
            None => self.first.clone(),
            Some(link) => self.own(link)?,
        };
        let late = |_| Err(Failure::Away("Okta did not respond in time".to_owned()));
        let page = timeout(TIMEOUT, self.get(&url)).await.unwrap_or_else(late);
        match page {
            // We built the first page's URL ourselves, so it cannot expire.
            Err(Failure::Expired) if link.is_none() => {
                Err(Failure::Refused("Okta rejects the request (400 Bad Request)".to_owned()))
            }
            page => page,
        }
    }

    /// Accepts a link only if it is within the group's URL: the token must be sent nowhere else.
    fn own(&self, link: &str) -> Result<Url, Failure> {
        let url = self.origin.join(link).ok();
        let own = url.filter(|url| url.origin() == self.origin.origin() && url.path() == self.first.path());
        own.ok_or_else(|| Failure::Refused("Okta's link to the next page is not in the group".to_owned()))
    }

    async fn get(&self, url: &Url) -> Result<Page, Failure> {
        let request = Request::get(url.as_str())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, &self.authorization)
            .body(Empty::new())
            .map_err(|_| Failure::Refused("the link to a page is invalid".to_owned()))?;
        let response = self.client.request(request).await;
        let response = response.map_err(|_| Failure::Away("Okta cannot be reached".to_owned()))?;
        if response.status() != StatusCode::OK {
            return Err(self.no_page(&response));
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failure::Refused(format!("a page from Okta is larger than {} MiB", MAX_BODY >> 20)),
            false => Failure::Away("Okta's response is incomplete".to_owned()),
        });
        let body = body?.to_bytes();
        let users = self.users(&body)?;
        let next = headers::next_link(&head.headers).map_err(|Unreadable| {
            Failure::Refused("Okta's Link header is malformed; the next page is unknown".to_owned())
        })?;
        if next.as_ref().is_some_and(|link| link.len() > MAX_LINK) {
            let why = format!("Okta's link to the next page is longer than {MAX_LINK} bytes");
            return Err(Failure::Refused(why));
        }
        let next = next.map(|link| self.own(&link).map(String::from)).transpose()?;
        let is_used_up = headers::is_used_up(&head.headers);
        let pause = is_used_up.then(|| headers::pause(&head.headers, self.clock.now()));
        Ok(Page { users, next, pause })
    }

    /// Parses the users of a page, one after the other.
    fn users(&self, body: &[u8]) -> Result<Vec<ProviderUser>, Failure> {
        let users = elements(body, PAGE, MAX_USER).map_err(|unsplit| match unsplit {
            Unsplit::NoArray => Failure::Away("Okta's response is not a list of users".to_owned()),
            Unsplit::TooMany(most) => Failure::Refused(format!(
                "Okta's response has more than the {most} users that were asked for"
            )),
            Unsplit::TooLarge(most) => {
                Failure::Refused(format!("a user in Okta's response is larger than {} KiB", most >> 10))
            }
        })?;
        let mut read = Vec::new();
        for element in users {
            let value: Value = serde_json::from_slice(element)
                .map_err(|_| Failure::Away("Okta's response is not a list of users".to_owned()))?;
            read.extend(user(&value, &self.map).map_err(|NoUser| {
                Failure::Refused("Okta's response contains a value that is not a user".to_owned())
            })?);
        }
        Ok(read)
    }

    fn no_page<B>(&self, response: &Response<B>) -> Failure {
        let status = response.status();
        match status.as_u16() {
            429 => Failure::Limited(headers::pause(response.headers(), self.clock.now())),
            400 => Failure::Expired,
            401 | 403 => Failure::Refused(format!("Okta rejects the token ({status})")),
            404 => Failure::Refused("the group does not exist in Okta (404 Not Found)".to_owned()),
            408 | 500.. => Failure::Away(format!("Okta responds with {status}")),
            _ => Failure::Refused(format!("Okta rejects the request ({status})")),
        }
    }
}

/// Parses a user; `None` if they have left. An error fails the page: a user who is skipped would count as missing.
fn user(user: &Value, map: &AttributeMap) -> Result<Option<ProviderUser>, NoUser> {
    let id = user["id"].as_str().filter(|id| fits(id)).ok_or(NoUser)?;
    let profile = user["profile"].as_object().ok_or(NoUser)?;
    if user["status"] == DEPROVISIONED {
        return Ok(None);
    }
    let attribute = |name: &str| match name {
        "id" => &user["id"],
        _ => profile.get(name).unwrap_or(&Value::Null),
    };
    Ok(Some(ProviderUser::new(id, attribute("login"), map, attribute)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn deprovisioned_users_are_skipped_and_other_values_are_errors() {
        let map = AttributeMap::parse("{}").unwrap();
        let with = |status: &str| json!({ "id": "00u1", "status": status, "profile": {} });
        assert_eq!(user(&with(DEPROVISIONED), &map), Ok(None));
        for status in ["ACTIVE", "SUSPENDED", "STAGED", "LOCKED_OUT"] {
            assert!(user(&with(status), &map).unwrap().is_some(), "{status}");
        }
        for wrong in [json!({}), json!(7), json!({ "id": "", "profile": {} }), json!({ "id": "00u1" })] {
            assert_eq!(user(&wrong, &map), Err(NoUser), "{wrong}");
        }
    }

    #[test]
    fn more_or_larger_users_than_asked_for_are_refused() {
        let map = AttributeMap::parse("{}").unwrap();
        let okta = Okta::new("https://acme.okta.com", "00g1", map, "secret", Clock::System).unwrap();
        let page = |count: usize, size: usize| {
            let user = |n| json!({ "id": format!("00u{n}"), "profile": { "x": "x".repeat(size) } });
            okta.users(json!((0..count).map(user).collect::<Vec<_>>()).to_string().as_bytes())
        };
        assert_eq!(page(PAGE, 10).unwrap().len(), PAGE);
        assert!(page(PAGE + 1, 10).unwrap_err().to_string().contains("more than the 200"));
        assert!(page(1, MAX_USER).unwrap_err().to_string().contains("256 KiB"));
        for other in [&b"{}"[..], b"[{]", b"[,]", b"[1"] {
            assert!(matches!(okta.users(other), Err(Failure::Away(_))), "{other:?}");
        }
    }

    #[tokio::test]
    async fn token_is_sent_only_to_the_groups_url() {
        let okta = Okta::new(
            "https://acme.okta.com",
            "00g1",
            AttributeMap::parse("{}").unwrap(),
            "secret",
            Clock::System,
        )
        .unwrap();
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

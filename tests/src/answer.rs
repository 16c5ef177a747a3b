//! An HTTP response, with accessors and assertions for tests.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// The media type of SCIM (RFC 7644 §8.1).
pub const SCIM: &str = "application/scim+json";
/// The schema of a SCIM error.
const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// A response with its body.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub text: String,
    /// The body as JSON; null if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// From its parts.
    #[must_use]
    pub fn new(status: u16, headers: HeaderMap, text: String) -> Self {
        let body = serde_json::from_str(&text).unwrap_or_default();
        Self { status, headers, text, body }
    }

    /// Parses an HTTP/1.1 response.
    ///
    /// # Panics
    /// If it is not one.
    #[must_use]
    pub fn parse(raw: &str) -> Self {
        let (head, text) =
            raw.split_once("\r\n\r\n").unwrap_or_else(|| panic!("not an HTTP response: {raw:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Self::new(status.unwrap_or_else(|| panic!("no status line: {head:?}")), headers, text.to_owned())
    }

    /// Reads a response of reqwest.
    ///
    /// # Errors
    /// If the connection breaks before the end.
    pub async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        Ok(Self::new(status, headers, text))
    }

    /// Asserts the status.
    ///
    /// # Panics
    /// If the status differs; shows the body.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A header's value; empty if the header is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The resource's id.
    ///
    /// # Panics
    /// If it is missing.
    #[must_use]
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {}", self.text)).to_owned()
    }

    /// `totalResults` of a list response. Must be an integer, or Okta stops silently.
    ///
    /// # Panics
    /// If it is not a list response.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.body["totalResults"]
            .as_u64()
            .unwrap_or_else(|| panic!("no integer totalResults in {}", self.text))
    }

    /// The resources of a list response, which may omit `Resources` if there are none.
    #[must_use]
    pub fn resources(&self) -> &[Value] {
        self.body["Resources"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The error's `detail`.
    #[must_use]
    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or("")
    }

    /// The error's `scimType`.
    #[must_use]
    pub fn scim_type(&self) -> &str {
        self.body["scimType"].as_str().unwrap_or("")
    }

    /// The seconds in `Retry-After`.
    ///
    /// # Panics
    /// If it is not an integer (Okta would then wait for five minutes).
    #[must_use]
    pub fn retry_after(&self) -> u64 {
        self.header("retry-after").parse().unwrap_or_else(|_| {
            panic!("Retry-After must be integer seconds, is {:?}: {}", self.header("retry-after"), self.text)
        })
    }

    /// Asserts a SCIM error with this status (RFC 7644 §3.12) and any `scimType`.
    ///
    /// # Panics
    /// If it is not; shows the body.
    pub fn is_error(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.body["schemas"], serde_json::json!([ERROR_URN]), "{}", self.text);
        assert_eq!(self.body["status"], status.to_string(), "{}", self.text);
        assert!(!self.detail().is_empty(), "an error without detail: {}", self.text);
        assert!(self.header("content-type").starts_with(SCIM), "{}", self.header("content-type"));
        self
    }

    /// Asserts a SCIM error with this status and `scimType`.
    ///
    /// # Panics
    /// If it is not; shows the body.
    pub fn is_error_of(self, status: u16, scim_type: &str) -> Self {
        let answer = self.is_error(status);
        assert_eq!(answer.scim_type(), scim_type, "{}", answer.text);
        answer
    }
}

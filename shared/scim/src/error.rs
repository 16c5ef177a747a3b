//! The SCIM error (RFC 7644 §3.12). HTTP renders it as a response, and the worker stores it as a verdict.
//!
//! A `detail` names attributes and limits, but never repeats a value from the request.

use serde::{Deserialize, Serialize};

/// The URN of the error message (RFC 7644 §3.12).
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// The maximum length of an attribute name, path or operator that an error repeats.
const ECHO_LENGTH: usize = 100;

/// The detail error keyword (RFC 7644 §3.12, table 9; RFC 9865).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ScimType {
    /// The filter's syntax, or its pairing of attribute and operator, is not supported.
    InvalidFilter,
    /// The query has more results than the server will process.
    TooMany,
    /// A value that must be unique is already in use.
    Uniqueness,
    /// The change conflicts with the attribute's mutability, or removes a required attribute.
    Mutability,
    /// The structure of the body does not conform to the request's schema.
    InvalidSyntax,
    /// The path of a PATCH operation is malformed or names no attribute.
    InvalidPath,
    /// The path of a PATCH operation selects nothing to operate on.
    NoTarget,
    /// A required value is missing, or a value does not fit its attribute.
    InvalidValue,
    /// The version of the SCIM protocol is not supported.
    InvalidVers,
    /// The URI of the request contains personal data.
    Sensitive,
    /// The cursor was not issued for this query (RFC 9865).
    InvalidCursor,
    /// The cursor has expired (RFC 9865).
    ExpiredCursor,
    /// The count cannot be used with a cursor (RFC 9865).
    InvalidCount,
}

/// An error as defined in RFC 7644 §3.12; its JSON form is the body of the response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{status}: {detail}")]
#[serde(into = "Wire", try_from = "Wire")]
pub struct Error {
    /// The HTTP status, a string in JSON.
    pub status: u16,
    /// The detail error keyword, if table 9 defines one for this error.
    pub scim_type: Option<ScimType>,
    /// A human-readable description.
    pub detail: String,
}

impl Error {
    /// An error with any status.
    pub fn new(status: u16, scim_type: Option<ScimType>, detail: impl Into<String>) -> Self {
        Self { status, scim_type, detail: detail.into() }
    }

    /// 400 with a keyword of table 9.
    pub fn bad_request(scim_type: ScimType, detail: impl Into<String>) -> Self {
        Self::new(400, Some(scim_type), detail)
    }

    /// 400 `invalidValue`.
    pub fn invalid_value(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidValue, detail)
    }

    /// 400 `invalidSyntax`.
    pub fn invalid_syntax(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidSyntax, detail)
    }

    /// 400 `invalidFilter`.
    pub fn invalid_filter(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidFilter, detail)
    }

    /// 400 `invalidPath`.
    pub fn invalid_path(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidPath, detail)
    }

    /// 400 `noTarget`.
    pub fn no_target(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::NoTarget, detail)
    }

    /// 400 `mutability`.
    pub fn mutability(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::Mutability, detail)
    }

    /// 400 `tooMany`.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::TooMany, detail)
    }

    /// 401.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(401, None, detail)
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, None, detail)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, None, detail)
    }

    /// 405.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(405, None, detail)
    }

    /// 406.
    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(406, None, detail)
    }

    /// 409 without a keyword.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, None, detail)
    }

    /// 409 `uniqueness` (RFC 7644 §3.3).
    pub fn uniqueness(detail: impl Into<String>) -> Self {
        Self::new(409, Some(ScimType::Uniqueness), detail)
    }

    /// 412 (RFC 7644 §3.14).
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(412, None, detail)
    }

    /// 413; the detail states the limit.
    pub fn payload_too_large(detail: impl Into<String>) -> Self {
        Self::new(413, None, detail)
    }

    /// 415.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(415, None, detail)
    }

    /// 429.
    pub fn too_many_requests(detail: impl Into<String>) -> Self {
        Self::new(429, None, detail)
    }

    /// 500.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(500, None, detail)
    }

    /// 501.
    pub fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(501, None, detail)
    }
}

/// Shortens and sanitizes a name from the request, so that an error may repeat it. A value filter is cut off, because
/// it contains values.
pub(super) fn echo(name: &str) -> String {
    let shown_part = name.split('[').next().unwrap_or_default();
    let mut shown: String =
        shown_part.chars().take(ECHO_LENGTH).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown_part.chars().nth(ECHO_LENGTH).is_some() {
        shown.push('…');
    } else if shown_part.len() < name.len() {
        shown.push_str("[…]");
    }
    shown
}

/// The JSON form, in which `status` is a string.
#[derive(Clone, Serialize, Deserialize)]
struct Wire {
    schemas: Vec<String>,
    status: String,
    #[serde(rename = "scimType", default, skip_serializing_if = "Option::is_none")]
    scim_type: Option<ScimType>,
    #[serde(default)]
    detail: String,
}

impl From<Error> for Wire {
    fn from(error: Error) -> Self {
        Self {
            schemas: vec![ERROR_URN.to_owned()],
            status: error.status.to_string(),
            scim_type: error.scim_type,
            detail: error.detail,
        }
    }
}

impl TryFrom<Wire> for Error {
    type Error = std::num::ParseIntError;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        Ok(Self { status: wire.status.parse()?, scim_type: wire.scim_type, detail: wire.detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn status_is_serialized_as_a_string() {
        let error = Error::uniqueness("userName is already in use");
        let wire = json!({
            "schemas": [ERROR_URN], "status": "409", "scimType": "uniqueness", "detail": "userName is already in use"
        });
        assert_eq!(serde_json::to_value(&error).unwrap(), wire);
        assert_eq!(serde_json::from_value::<Error>(wire).unwrap(), error);
    }

    #[test]
    fn an_error_without_a_keyword_has_no_scim_type() {
        let wire = serde_json::to_value(Error::not_found("user not found")).unwrap();
        assert_eq!(wire, json!({"schemas": [ERROR_URN], "status": "404", "detail": "user not found"}));
    }

    #[test]
    fn repeated_names_are_short_and_printable() {
        assert_eq!(echo("a\nb"), "a\u{fffd}b");
        assert_eq!(echo(&"x".repeat(5000)).chars().count(), ECHO_LENGTH + 1);
        assert_eq!(echo("emails[value eq \"ann@corp.example\"].type"), "emails[…]");
    }
}

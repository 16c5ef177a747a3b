//! The `Authorization` header: HTTP Basic (RFC 7617) or Bearer (RFC 6750).
//!
//! Before it: the request's headers. After it: the keyring, which judges the key.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use shared::redact::Masked;

/// Clients differ about the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// The tenant's name and a key.
    Basic { user: String, key: Masked<String> },
    /// A key alone.
    Bearer { key: Masked<String> },
}

impl Credentials {
    /// Reads the header.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let header = match (given.next(), given.next()) {
            (None, _) => {
                return Err(
                    "credentials are required: HTTP Basic (the tenant's name and an API key) or Bearer (an API key)",
                );
            }
            (Some(header), None) => header.to_str().unwrap_or_default().trim(),
            (Some(_), Some(_)) => return Err("there must be only one Authorization header"),
        };
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        let rest = rest.trim_start();
        if scheme.eq_ignore_ascii_case("Basic") {
            basic(rest).ok_or("after Basic the Authorization header must hold user:key in base64")
        } else if scheme.eq_ignore_ascii_case("Bearer") {
            let key = Some(rest).filter(|key| !key.is_empty() && !key.contains(' '));
            let key = key.ok_or("after Bearer the Authorization header must hold an API key")?;
            Ok(Self::Bearer { key: Masked(key.to_owned()) })
        } else {
            Err("the Authorization header must begin with Basic or Bearer")
        }
    }

    /// The key.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Basic { key, .. } | Self::Bearer { key } => &key.0,
        }
    }

    /// The tenant that they claim to be of.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::Basic { user, .. } => Some(user),
            Self::Bearer { .. } => None,
        }
    }

    /// Whether they may be those of this tenant.
    pub(super) fn fit(&self, tenant_name: &str) -> bool {
        match self {
            Self::Basic { user, .. } => user.eq_ignore_ascii_case(tenant_name),
            Self::Bearer { .. } => true,
        }
    }
}

fn basic(encoded: &str) -> Option<Credentials> {
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    let (user, key) = decoded.split_once(':')?;
    // People paste names with spaces around them.
    Some(Credentials::Basic { user: user.trim().to_owned(), key: Masked(key.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Result<Credentials, &'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, line.parse().unwrap());
        }
        Credentials::of(&headers)
    }

    fn basic(user: &str, key: &str) -> Result<Credentials, &'static str> {
        Ok(Credentials::Basic { user: user.to_owned(), key: Masked(key.to_owned()) })
    }

    fn bearer(key: &str) -> Result<Credentials, &'static str> {
        Ok(Credentials::Bearer { key: Masked(key.to_owned()) })
    }

    #[test]
    fn both_schemes_are_understood_in_any_case() {
        for (line, expected) in [
            ("Basic YWNtZTpyY2tfMQ==", basic("acme", "rck_1")),
            ("basic YWNtZTpyY2tfMQ", basic("acme", "rck_1")),
            ("BASIC  QUNNRTphOmI=", basic("ACME", "a:b")),
            ("Basic IGFjbWUgOms=", basic("acme", "k")),
            ("Bearer rck_1", bearer("rck_1")),
            ("bearer   rck_1 ", bearer("rck_1")),
        ] {
            assert_eq!(of(&[line]), expected, "{line}");
        }
    }

    #[test]
    fn what_is_malformed_is_told_what_is_expected() {
        for (lines, expected) in [
            (&[][..], "credentials are required"),
            (&["Basic"], "after Basic"),
            (&["Basic %%%"], "after Basic"),
            (&["Basic YWNtZQ=="], "after Basic"),
            (&["Basic /////w=="], "after Basic"),
            (&["Bearer"], "after Bearer"),
            (&["Bearer a b"], "after Bearer"),
            (&["Digest x"], "the Authorization header must begin"),
            (&[""], "the Authorization header must begin"),
            (&["Bearer a", "Bearer b"], "there must be only one"),
        ] {
            assert!(of(lines).unwrap_err().starts_with(expected), "{lines:?}");
        }
    }

    #[test]
    fn a_basic_user_is_the_tenant_in_any_case() {
        let mine = basic("ACME", "k").unwrap();
        assert!(mine.fit("acme") && !mine.fit("other"));
        assert!(bearer("k").unwrap().fit("other"));
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        assert!(!format!("{:?}", basic("acme", "rck_secret")).contains("secret"));
    }
}

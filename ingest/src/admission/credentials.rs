//! Parses the `Authorization` header: HTTP Basic (RFC 7617) or Bearer (RFC 6750).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use platform::redact::Masked;

/// Some clients pad base64, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The credentials that a client presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// The tenant's name and a key.
    Basic { user: String, key: Masked<String> },
    /// A key alone.
    Bearer { key: Masked<String> },
}

impl Credentials {
    /// Parses the header.
    ///
    /// # Errors
    /// A message that says what is expected.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let header = match (given.next(), given.next()) {
            (None, _) => {
                return Err(
                    "credentials are required: HTTP Basic (the tenant's name and an API key) or Bearer (an API key)",
                );
            }
            (Some(header), None) => header.to_str().unwrap_or_default().trim(),
            (Some(_), Some(_)) => return Err("more than one Authorization header; send exactly one"),
        };
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        let rest = rest.trim_start();
        if scheme.eq_ignore_ascii_case("Basic") {
            basic(rest).ok_or("the Authorization header must be Basic followed by user:key in base64")
        } else if scheme.eq_ignore_ascii_case("Bearer") {
            let key = Some(rest).filter(|key| !key.is_empty() && !key.contains(' '));
            let key = key.ok_or("the Authorization header must be Bearer followed by an API key")?;
            Ok(Self::Bearer { key: Masked(key.to_owned()) })
        } else {
            Err("the Authorization header must start with Basic or Bearer")
        }
    }

    /// The key.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Basic { key, .. } | Self::Bearer { key } => &key.0,
        }
    }

    /// The tenant's name, if the credentials contain one.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::Basic { user, .. } => Some(user),
            Self::Bearer { .. } => None,
        }
    }

    /// Whether the credentials may belong to this tenant.
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
    // Admins sometimes paste names with surrounding spaces.
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
    fn both_schemes_are_parsed_in_any_case() {
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
    fn malformed_credentials_are_rejected_with_the_expected_form() {
        for (lines, expected) in [
            (&[][..], "credentials are required"),
            (&["Basic"], "the Authorization header must be Basic"),
            (&["Basic %%%"], "the Authorization header must be Basic"),
            (&["Basic YWNtZQ=="], "the Authorization header must be Basic"),
            (&["Basic /////w=="], "the Authorization header must be Basic"),
            (&["Bearer"], "the Authorization header must be Bearer"),
            (&["Bearer a b"], "the Authorization header must be Bearer"),
            (&["Digest x"], "the Authorization header must start"),
            (&[""], "the Authorization header must start"),
            (&["Bearer a", "Bearer b"], "more than one"),
        ] {
            assert!(of(lines).unwrap_err().starts_with(expected), "{lines:?}");
        }
    }

    #[test]
    fn basic_user_matches_the_tenant_in_any_case() {
        let mine = basic("ACME", "k").unwrap();
        assert!(mine.fit("acme") && !mine.fit("other"));
        assert!(bearer("k").unwrap().fit("other"));
    }

    #[test]
    fn debug_output_masks_the_key() {
        assert!(!format!("{:?}", basic("acme", "rck_secret")).contains("secret"));
    }
}

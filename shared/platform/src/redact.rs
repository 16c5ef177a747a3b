//! The only module that masks what must not appear in logs or errors: addresses, names, keys, passwords.

use std::fmt;

use sha2::{Digest, Sha256};

/// Shows that a value exists, but not the value.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Masked<T>(pub T);

impl<T> fmt::Display for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Debug for Masked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A connection URL without its user, password and query: scheme, host, port and path.
#[must_use]
pub fn url(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.has_host() || parsed.scheme() == "file" => {
            let had_credentials = !parsed.username().is_empty() || parsed.password().is_some();
            // Both fail only for URLs that cannot have credentials, such as `file:`.
            let _ = parsed.set_password(None);
            let _ = parsed.set_username(if had_credentials { "***" } else { "" });
            parsed.set_query(None);
            parsed.to_string()
        }
        _ => "***".to_owned(),
    }
}

/// An id from another system, as logs show it. If it consists of hexadecimal digits, as a UUID does, it is unchanged.
/// Otherwise it may contain a name or an address, and a part of its SHA-256 is shown.
#[must_use]
pub fn id(id: &str) -> String {
    if id.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '-' | '_' | ':' | '.')) {
        return id.to_owned();
    }
    format!("sha256:{}", hex::encode(&Sha256::digest(id)[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert_eq!(
            url("postgres://me:secret@db.example:5432/x?password=also"),
            "postgres://***@db.example:5432/x"
        );
        assert_eq!(url("file:///var/mail"), "file:///var/mail");
        assert_eq!(url("no url: secret"), "***");
        assert_eq!(url("me:secret"), "***");
    }

    #[test]
    fn an_id_is_shown_unless_it_may_contain_personal_data() {
        let uuid = "01a21d3f-0c52-7d41-9d1e-5f0c8a6a8e11";
        assert_eq!(id(uuid), uuid);
        for secret in ["assigned-ada@acme.example", "enrolment:ada.lovelace:7"] {
            let shown = id(secret);
            assert!(shown.starts_with("sha256:") && shown.len() == 23 && shown == id(secret), "{shown}");
        }
    }

    #[test]
    fn a_masked_value_shows_nothing() {
        assert_eq!(format!("{} {:?}", Masked("a@b.example"), Masked("a@b.example")), "*** ***");
    }
}

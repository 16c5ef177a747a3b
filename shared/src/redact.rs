//! The one module that masks what must be in no log line and no error: addresses, names, keys, passwords.

use std::fmt;

/// Shows that something is there, and nothing of it.
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

/// An id that somebody else has made up: shown unless it may be an address or a name.
#[must_use]
pub fn id(id: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=".contains(c);
    if id.chars().all(is_plain) { id } else { "***" }
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
    fn an_id_is_shown_unless_it_may_say_who() {
        assert_eq!(id("urn:lms/2026-11_27.ab+c=="), "urn:lms/2026-11_27.ab+c==");
        assert_eq!((id("assigned-ada@acme.example"), id("Ada Lovelace")), ("***", "***"));
    }

    #[test]
    fn a_masked_value_shows_nothing() {
        assert_eq!(format!("{} {:?}", Masked("a@b.example"), Masked("a@b.example")), "*** ***");
    }
}

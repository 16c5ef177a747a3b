//! The types of the pull from Okta's API: the map from Okta's attributes to ours, the data of a user, and the URL of an
//! organization.

mod attribute_map;
mod supplement;

use url::{Host, Url};

pub use self::attribute_map::AttributeMap;
pub use self::supplement::Supplement;

/// A date as it is stored and sent: `2026-01-05`.
#[allow(missing_docs, clippy::allow_attributes, reason = "the macro's items are those of `time::serde`")]
mod iso {
    time::serde::format_description!(iso_date, Date, "[year]-[month]-[day]");
    pub use iso_date::option as date;

    /// One date.
    #[derive(serde::Deserialize)]
    pub struct Given(#[serde(with = "iso_date")] pub time::Date);
}

pub use iso::date;

/// Normalizes the URL of an Okta organization.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn okta_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|_| "must be a URL, such as https://acme.okta.com".to_owned())?;
    let is_bare = url.username().is_empty() && url.password().is_none();
    if !is_bare || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("must be only scheme and host, such as https://acme.okta.com".to_owned());
    }
    if !is_safe(&url) {
        return Err("must begin with https://, or the token would be sent unencrypted".to_owned());
    }
    Ok(url.origin().ascii_serialization())
}

/// Whether data that is sent there is encrypted or stays on this machine.
fn is_safe(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_okta_url_must_be_https_or_loopback() {
        for (text, expected) in [
            ("https://acme.okta.com", Ok("https://acme.okta.com")),
            ("https://Acme.okta.com:443/", Ok("https://acme.okta.com")),
            ("http://127.0.0.1:9999", Ok("http://127.0.0.1:9999")),
            ("http://[::1]:1", Ok("http://[::1]:1")),
            ("http://acme.okta.com", Err("https://")),
            ("http://127.0.0.1.example.com", Err("https://")),
            ("https://me:secret@acme.okta.com", Err("only")),
            ("https://acme.okta.com/api/v1", Err("only")),
            ("ftp://acme.okta.com", Err("https://")),
            ("acme", Err("a URL")),
        ] {
            match (okta_url(text), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url, expected),
                (Err(said), Err(word)) => assert!(said.contains(word) && !said.contains("secret"), "{said}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}

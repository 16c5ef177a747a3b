//! Links that people follow from mail and pages: to content, to the learning platform, to a picture.

use platform::visible::is_hidden;
use url::Url;

/// The maximum length of a link, in bytes.
const MAX_LENGTH: usize = 2_000;

/// The schemes that a link may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemes {
    /// `https`.
    Https,
    /// `http` or `https`.
    HttpOrHttps,
}

/// Parses a link. A parser of URLs alone is not enough: it drops line breaks, repairs missing slashes, and accepts a
/// user name, which makes `https://bank.example@evil.example` look like another host.
///
/// # Errors
/// What is wrong, to follow the name of the field.
pub fn parse(text: &str, schemes: Schemes) -> Result<Url, &'static str> {
    if text.len() > MAX_LENGTH {
        return Err("must have at most 2000 bytes");
    }
    if text.contains(|c: char| c.is_whitespace() || is_hidden(c)) {
        return Err("must not contain spaces, line breaks, control characters or invisible characters");
    }
    let wrong = match schemes {
        Schemes::Https => "must be an https URL",
        Schemes::HttpOrHttps => "must be an http or https URL",
    };
    let Some((scheme, rest)) = text.split_once("://") else { return Err(wrong) };
    let is_allowed = scheme.eq_ignore_ascii_case("https")
        || schemes == Schemes::HttpOrHttps && scheme.eq_ignore_ascii_case("http");
    if !is_allowed || text.contains('\\') {
        return Err(wrong);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not contain a user name or a password");
    }
    // An empty authority would be repaired: the first part of the path would become the host.
    Url::parse(text).ok().filter(|url| !authority.is_empty() && url.has_host()).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_links_are_accepted() {
        for (text, https, http) in [
            ("https://learn.example/c-1?x=a@b#top", true, true),
            ("HTTPS://learn.example:8443", true, true),
            ("https://[2001:db8::1]/x", true, true),
            ("https://b\u{fc}cher.example/\u{fc}", true, true),
            ("http://learn.example/c-1", false, true),
            ("https://me@learn.example/", false, false),
            ("https://me:secret@learn.example/", false, false),
            ("https://@learn.example/", false, false),
            ("https://:@learn.example/", false, false),
            ("https:learn.example", false, false),
            ("https:/learn.example", false, false),
            ("https:///learn.example", false, false),
            ("https:\\\\learn.example", false, false),
            ("https://learn.example\\@evil.example", false, false),
            ("https://", false, false),
            ("https://?x", false, false),
            (" https://learn.example", false, false),
            ("https://learn.example/a\nb", false, false),
            ("https://learn.example/\r", false, false),
            ("https://learn.example/\tb", false, false),
            ("ht\ntps://learn.example/", false, false),
            ("https://learn.example/a b", false, false),
            ("https://learn.example/\u{202e}b", false, false),
            ("https://learn.example/\u{2028}b", false, false),
            ("https://learn.example/\u{85}", false, false),
            ("javascript:alert(1)", false, false),
            ("javascript://learn.example/%0aalert(1)", false, false),
            ("data:text/html,x", false, false),
            ("ftp://learn.example/", false, false),
            ("//learn.example/", false, false),
            ("learn.example", false, false),
        ] {
            assert_eq!(parse(text, Schemes::Https).is_ok(), https, "{text:?}");
            assert_eq!(parse(text, Schemes::HttpOrHttps).is_ok(), http, "{text:?}");
        }
        assert!(parse(&format!("https://a.example/{}", "x".repeat(MAX_LENGTH)), Schemes::Https).is_err());
    }
}

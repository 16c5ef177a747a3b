//! `If-Match` and `If-None-Match` (RFC 9110 §13.1, RFC 7644 §3.14). The worker evaluates `If-Match`; reads evaluate
//! `If-None-Match` here.

use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName};
use domain::command::IfMatch;
use scim::Error;

/// The value of `If-Match`, with all its lines joined.
///
/// # Errors
/// 400 if it is not ASCII.
pub fn if_match(headers: &HeaderMap) -> Result<Option<String>, Error> {
    joined(headers, &IF_MATCH)
}

/// Parses the versions.
#[must_use]
pub fn versions(text: &str) -> IfMatch {
    let Ok(versions) = text.parse::<IfMatch>();
    versions
}

/// Whether the client has this version already, so that the response is 304.
///
/// # Errors
/// 400 for an `If-None-Match` that is not ASCII.
pub fn is_known(headers: &HeaderMap, etag: &str) -> Result<bool, Error> {
    Ok(joined(headers, &IF_NONE_MATCH)?.is_some_and(|text| versions(&text).allows(etag)))
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Error> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().map(str::trim));
    let lines: Vec<&str> = lines
        .collect::<Result<_, _>>()
        .map_err(|_| Error::invalid_syntax(format!("the header {name} is not ASCII")))?;
    Ok((!lines.is_empty()).then(|| lines.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_recognizes_the_known_version() {
        for (lines, known) in [
            (&[][..], false),
            (&[r#"W/"3""#], true),
            (&[r#""3""#], true),
            (&[r#"W/"2", W/"3""#], true),
            (&[r#"W/"2""#, r#"W/"3""#], true),
            (&["*"], true),
            (&[r#"W/"2""#], false),
            (&[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_NONE_MATCH, line.parse().unwrap());
            }
            assert_eq!(is_known(&headers, r#"W/"3""#), Ok(known), "{lines:?}");
        }
    }
}

//! The `Prefer` header (RFC 7240). Only `respond-async` and `wait` are supported (RFC 9967).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};

/// RFC 7240 §2.
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The preference, and the value of `Preference-Applied`.
pub const RESPOND_ASYNC: &str = "respond-async";

/// How long (`wait`) the client of an asynchronous request (`respond-async`) waits for an ordinary response; `None`
/// without `respond-async`.
///
/// Unknown and malformed preferences are ignored (RFC 7240 §2).
#[must_use]
pub fn respond_async(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(PREFER).iter().filter_map(|line| line.to_str().ok());
    let preferences: Vec<(&str, String)> =
        lines.flat_map(|line| split(line, ',')).filter_map(preference).collect();
    // If a preference is given twice, the first one counts.
    let value = |name: &str| {
        let mut found = preferences.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    };
    value(RESPOND_ASYNC)?;
    let seconds = value("wait").and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    Some(Duration::from_secs(seconds))
}

/// `token [BWS "=" BWS word] *(OWS ";" OWS parameter)`: the name, and the value without quotes.
fn preference(text: &str) -> Option<(&str, String)> {
    let first = split(text, ';').next()?;
    let (name, value) = first.split_once('=').unwrap_or((first, ""));
    let (name, value) = (name.trim(), value.trim());
    let value = match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace('\\', ""),
        None => value.to_owned(),
    };
    (!name.is_empty()).then_some((name, value))
}

/// Splits at separators outside quoted strings.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        if escaped {
            escaped = false;
        } else if c == '"' {
            quoted = !quoted;
        } else {
            escaped = quoted && c == '\\';
        }
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_parsed_as_in_rfc_7240() {
        for (lines, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["return=minimal"], None),
            (&["wait=10"], None),
            (&["respond-async"], Some(0)),
            (&["Respond-Async"], Some(0)),
            (&["respond-async, wait=10"], Some(10)),
            (&["WAIT=10,respond-async"], Some(10)),
            (&["respond-async", "wait=10"], Some(10)),
            (&["respond-async; foo=\"a, wait=7\", wait = \"3\""], Some(3)),
            (&["foo; bar, respond-async;x, wait=1;y=2"], Some(1)),
            (&["respond-async, wait=2, wait=9"], Some(2)),
            (&["respond-async, wait=soon"], Some(0)),
            (&["respond-async, wait=-1"], Some(0)),
            (&["respond-async, wait=99999999999999999999999"], Some(0)),
            (&["\"respond-async\""], None),
            (&["foo=\"respond-async, \\\" respond-async\""], None),
            (&[";;,,=,\"", "respond-async"], Some(0)),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(PREFER, line.parse().unwrap());
            }
            assert_eq!(respond_async(&headers), expected.map(Duration::from_secs), "{lines:?}");
        }
    }
}

//! Parses the headers of an Okta page: the link to the next page (RFC 8288) and the rate limit. Pure.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{DATE, LINK, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// The pause after a rate limit response without a reset time.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest accepted pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// A malformed `Link` header. It must not be mistaken for that of the last page.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable;

/// The target of the link with the relation `next` (RFC 8288); `None` on the last page.
///
/// # Errors
/// If one of the links is malformed.
pub fn next_link(headers: &HeaderMap) -> Result<Option<String>, Unreadable> {
    let mut next = None;
    for value in headers.get_all(LINK) {
        let mut rest = value.to_str().map_err(|_| Unreadable)?;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                break;
            }
            let (target, relations, after) = link(rest).ok_or(Unreadable)?;
            if relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next")) {
                next.get_or_insert_with(|| target.to_owned());
            }
            rest = after;
        }
    }
    Ok(next)
}

/// Parses one link: its target, its relations, and the rest of the text.
fn link(text: &str) -> Option<(&str, String, &str)> {
    let (target, mut rest) = text.strip_prefix('<')?.split_once('>')?;
    if target.contains(['<', '"', ' ', '\t']) {
        return None;
    }
    let mut relations = None;
    loop {
        rest = trimmed(rest);
        if rest.is_empty() || rest.starts_with(',') {
            return Some((target, relations.filter(|relations: &String| are_relations(relations))?, rest));
        }
        rest = trimmed(rest.strip_prefix(';')?);
        if rest.is_empty() || rest.starts_with([';', ',']) {
            continue;
        }
        let (name, after) = rest.split_at(rest.find(['=', ';', ',', ' ', '\t']).unwrap_or(rest.len()));
        rest = trimmed(after);
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            (value, rest) = parameter(trimmed(after))?;
        }
        // Only the first `rel` counts (RFC 8288 §3.3).
        if name.eq_ignore_ascii_case("rel") {
            relations.get_or_insert(value);
        }
    }
}

/// Parses a parameter's value, quoted or not, and returns it with the rest of the text.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([';', ',', ' ', '\t']).unwrap_or(text.len()));
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let (mut value, mut characters) = (String::new(), quoted.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// Whether these are valid relations: registered words or URIs.
fn are_relations(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_one = |relation: &str| relation.contains(':') || relation.chars().all(is_word);
    !text.trim().is_empty() && text.split_ascii_whitespace().all(is_one)
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Whether this response used up the rate limit.
pub fn is_used_up(headers: &HeaderMap) -> bool {
    header(headers, "x-rate-limit-remaining") == Some("0")
}

/// The pause until the rate limit resets: the longest that the headers name. Times are relative to the `Date` header,
/// since our clock may differ. Both clocks have whole seconds, hence one second more.
pub fn pause(headers: &HeaderMap, now: OffsetDateTime) -> Duration {
    let date = |text: &str| OffsetDateTime::parse(text, &Rfc2822).ok().map(OffsetDateTime::unix_timestamp);
    let now = header(headers, DATE.as_str()).and_then(date).unwrap_or(now.unix_timestamp());
    let until = |then: i64| then.saturating_sub(now).saturating_add(1);
    let reset = header(headers, "x-rate-limit-reset").and_then(|reset| reset.parse().ok()).map(until);
    // Seconds, or a date (RFC 9110 §10.2.3).
    let retry_after = header(headers, RETRY_AFTER.as_str())
        .and_then(|after| after.parse::<i64>().ok().or_else(|| date(after).map(until)));
    let pause =
        reset.max(retry_after).map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    pause.unwrap_or(PAUSE).clamp(Duration::from_secs(1), LONGEST_PAUSE)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-27 06:00:00.9 UTC);

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn next_link_is_found_in_all_valid_forms() {
        for (lines, expected) in [
            (vec![r#"<https://o/a>; rel="self""#, r#"<https://o/b>; rel="next""#], Some("https://o/b")),
            (
                vec![r#"<https://o/a>; rel="self", <https://o/b?x=1,2;3>; rel="next""#],
                Some("https://o/b?x=1,2;3"),
            ),
            (vec![r#"<https://o/a>;rel=self,<https://o/b>;rel=next"#], Some("https://o/b")),
            (
                vec![r#"<https://o/b> ; title="a \" , <c>; rel=no" ; REL = "last Next" ,"#],
                Some("https://o/b"),
            ),
            (vec![r#"<https://o/b>; rel=self; rel=next"#], None),
            (vec![r#"<https://o/b>; title="rel=next"; rel="https://o/rel""#], None),
            (vec![r#"<https://o/a>; rel="self""#], None),
            (vec![""], None),
            (vec![], None),
        ] {
            let lines: Vec<_> = lines.into_iter().map(|line| ("link", line)).collect();
            assert_eq!(next_link(&headers(&lines)), Ok(expected.map(str::to_owned)), "{lines:?}");
        }
    }

    #[test]
    fn malformed_link_is_not_the_last_page() {
        for line in [
            r#"<https://o/a; rel="next""#,
            r#"<https://o/a; rel="next", <https://o/b>; rel="self""#,
            r#"https://o/a; rel="next""#,
            r#"<https://o/a>; rel="next"#,
            r#"<https://o/a>; rel='next'"#,
            r#"<https://o/a>; rel="#,
            r#"<https://o/a>; rel"#,
            r#"<https://o/a>"#,
            r#"<https://o/a> rel="next""#,
            r#"<https://o/a>; rel="self" <https://o/b>; rel="next""#,
            "next",
        ] {
            assert_eq!(next_link(&headers(&[("link", line)])), Err(Unreadable), "{line}");
        }
        let foreign = [(LINK, HeaderValue::from_bytes(b"<https://o/\xff>; rel=\"next\"").unwrap())];
        assert_eq!(next_link(&foreign.into_iter().collect()), Err(Unreadable));
    }

    #[test]
    fn pause_is_the_longest_by_oktas_clock() {
        let reset = datetime!(2026-11-27 06:00:30 UTC).unix_timestamp().to_string();
        for (lines, expected) in [
            (vec![("x-rate-limit-reset", &*reset)], 31),
            (vec![("x-rate-limit-reset", &*reset), ("date", "Fri, 27 Nov 2026 06:00:10 GMT")], 21),
            (vec![("x-rate-limit-reset", "0")], 1),
            (vec![("x-rate-limit-reset", "9223372036854775807")], 900),
            (vec![("x-rate-limit-reset", "soon"), ("retry-after", "7")], 7),
            (vec![("x-rate-limit-reset", &*reset), ("retry-after", "7")], 31),
            (vec![("x-rate-limit-reset", &*reset), ("retry-after", "70")], 70),
            (vec![("retry-after", "Fri, 27 Nov 2026 06:00:40 GMT")], 41),
            (vec![("retry-after", "-5")], 1),
            (vec![], 60),
        ] {
            assert_eq!(pause(&headers(&lines), NOW), Duration::from_secs(expected), "{lines:?}");
        }
    }
}

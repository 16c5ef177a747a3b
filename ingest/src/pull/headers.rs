//! What Okta says in the headers of a page: where the next one is (RFC 8288), and how long to wait. Pure.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{DATE, LINK, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// How long to wait where Okta says that its limit is reached, and not until when.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest wait that is believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// A header that cannot be read: what it says is not known, so it is not taken for the last page's.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable;

/// The target of the link with the relation `next` (RFC 8288), of however many links there are; `None` on the last page.
///
/// # Errors
/// When one of the links cannot be read.
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

/// One link: its target, its relations, and what follows it.
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
        // Of several `rel` the first counts (RFC 8288 §3.3).
        if name.eq_ignore_ascii_case("rel") {
            relations.get_or_insert(value);
        }
    }
}

/// A parameter's value, quoted or not, and what follows it.
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

/// Whether these are relations: registered words, or URIs.
fn are_relations(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let is_one = |relation: &str| relation.contains(':') || relation.chars().all(is_word);
    !text.trim().is_empty() && text.split_ascii_whitespace().all(is_one)
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Whether this answer used the limit up.
pub fn is_used_up(headers: &HeaderMap) -> bool {
    header(headers, "x-rate-limit-remaining") == Some("0")
}

/// How long until there is room again: as long as the longest that is told. By Okta's own clock where it tells, since ours may be
/// another. Both tell whole seconds, hence one more.
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
    fn the_next_page_is_found_among_other_links_however_they_are_written() {
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
    fn a_link_that_cannot_be_read_is_not_the_last_page() {
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
    fn the_pause_is_the_longest_that_okta_names_by_its_own_clock() {
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

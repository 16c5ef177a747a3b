//! Parses the parameter `since` and the option `--since`: the start of the period that the activity log shows.

use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{Date, Duration, OffsetDateTime};

/// The default period.
pub const RECENT: Duration = Duration::days(7);

/// Parses a time: RFC 3339 (`2026-01-31T06:00:00Z`), a date, which starts at midnight UTC (`2026-01-31`), or how long
/// ago (`7d`, `12h`, `30m`). A space before the offset counts as a `+` that was not percent-encoded.
///
/// # Errors
/// The accepted forms.
pub fn since(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
    ago(text, now).or_else(|| moment(text)).or_else(|| midnight(text)).ok_or_else(|| {
        "must be a time such as 2026-01-31T06:00:00Z, a date such as 2026-01-31, or how long ago, such as 7d, 12h or 30m"
            .to_owned()
    })
}

fn ago(text: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let unit = text.chars().last()?;
    let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        _ => return None,
    };
    now.checked_sub(Duration::seconds(i64::from(number) * seconds))
}

fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339).ok()
}

fn midnight(text: &str) -> Option<OffsetDateTime> {
    Some(Date::parse(text, &Iso8601::DATE).ok()?.midnight().assume_utc())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_dates_and_periods_are_parsed() {
        let now = datetime!(2026-11-10 12:00 UTC);
        for (text, meant) in [
            ("2026-11-01T06:00:00Z", Some(datetime!(2026-11-01 06:00 UTC))),
            ("2026-11-01T06:00:00 01:00", Some(datetime!(2026-11-01 05:00 UTC))),
            ("2026-11-01T06:00:00-01:00", Some(datetime!(2026-11-01 07:00 UTC))),
            ("2026-11-01", Some(datetime!(2026-11-01 00:00 UTC))),
            ("7d", Some(datetime!(2026-11-03 12:00 UTC))),
            ("12h", Some(datetime!(2026-11-10 00:00 UTC))),
            ("30m", Some(datetime!(2026-11-10 11:30 UTC))),
            ("4294967295d", None),
            ("-1d", None),
            ("d", None),
            ("", None),
            ("yesterday", None),
            ("2026-13-01", None),
            ("7\u{20ac}", None),
        ] {
            assert_eq!(since(text, now).ok(), meant, "{text}");
        }
    }
}

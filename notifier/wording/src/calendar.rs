//! Localized dates in the user's time zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use minijinja::{Value, context};
use serde::Deserialize;
use time::OffsetDateTime;

/// The local hour at which the digest is sent.
const MORNING: i8 = 8;

/// The names of a language's days and months.
#[derive(Clone, Debug, Deserialize)]
pub struct Calendar {
    /// Monday first.
    pub weekdays: [String; 7],
    /// January first.
    pub months: [String; 12],
}

impl Calendar {
    /// The values of the phrase `date` for a time in an IANA time zone, or in UTC if the zone is missing or unknown.
    pub fn parts(&self, at: OffsetDateTime, zone: Option<&str>) -> Option<Value> {
        let at = local(at, zone)?;
        let place = |one_based: i8| usize::try_from(one_based - 1).ok();
        let weekday = self.weekdays.get(place(at.weekday().to_monday_one_offset())?)?;
        let month = self.months.get(place(at.month())?)?;
        Some(context! {
            weekday, month, day => at.day(), year => at.year(),
            time => at.strftime("%H:%M").to_string(), zone => abbreviation(&at),
        })
    }
}

/// The next 08:00 after `at` in an IANA time zone, or in UTC if the zone is missing or unknown.
#[must_use]
pub fn next_morning(at: OffsetDateTime, zone: Option<&str>) -> OffsetDateTime {
    let morning = || {
        let now = local(at, zone)?;
        let of_day = |day: &ZonedDateTime| {
            day.with().hour(MORNING).minute(0).second(0).subsec_nanosecond(0).build().ok()
        };
        let today = of_day(&now)?;
        let next = if today > now { today } else { of_day(&now.tomorrow().ok()?)? };
        OffsetDateTime::from_unix_timestamp(next.timestamp().as_second()).ok()
    };
    // At the end of the calendar there is no next day.
    morning().unwrap_or(at)
}

/// Whether this is a known IANA time zone.
#[must_use]
pub fn is_zone(name: &str) -> bool {
    TimeZone::get(name.trim()).is_ok()
}

/// The zone's abbreviation, or its offset from UTC if it has none.
fn abbreviation(at: &ZonedDateTime) -> String {
    let name = at.strftime("%Z").to_string();
    if name.starts_with(char::is_alphabetic) {
        return name;
    }
    let minutes = at.offset().seconds() / 60;
    let sign = if minutes < 0 { '\u{2212}' } else { '+' };
    let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
    if minutes == 0 { format!("UTC{sign}{hours}") } else { format!("UTC{sign}{hours}:{minutes:02}") }
}

fn local(at: OffsetDateTime, zone: Option<&str>) -> Option<ZonedDateTime> {
    let zone = zone.and_then(|name| TimeZone::get(name.trim()).ok()).unwrap_or(TimeZone::UTC);
    Some(Timestamp::from_nanosecond(at.unix_timestamp_nanos()).ok()?.to_zoned_datetime(zone))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_zone_without_an_abbreviation_is_shown_as_its_offset() {
        for (zone, expected) in [
            ("Europe/Berlin", "CET"),
            ("America/Sao_Paulo", "UTC\u{2212}3"),
            ("Asia/Kathmandu", "UTC+5:45"),
            ("Asia/Dubai", "UTC+4"),
            ("UTC", "UTC"),
        ] {
            let at = local(datetime!(2026-12-01 12:00 UTC), Some(zone)).unwrap();
            assert_eq!(abbreviation(&at), expected, "{zone}");
        }
        assert!(is_zone("Europe/Berlin") && !is_zone("Nowhere/Land") && !is_zone(""));
    }

    #[test]
    fn the_next_morning_is_at_eight_in_the_users_time_zone() {
        for (at, zone, expected) in [
            (datetime!(2026-07-01 5:59 UTC), Some("Europe/Berlin"), datetime!(2026-07-01 6:00 UTC)),
            (datetime!(2026-07-01 6:00 UTC), Some("Europe/Berlin"), datetime!(2026-07-02 6:00 UTC)),
            (datetime!(2026-07-01 6:00 UTC), Some("America/New_York"), datetime!(2026-07-01 12:00 UTC)),
            (datetime!(2026-07-01 9:00 UTC), None, datetime!(2026-07-02 8:00 UTC)),
            (datetime!(2026-07-01 9:00 UTC), Some("Nowhere"), datetime!(2026-07-02 8:00 UTC)),
            // Daylight saving time ends that night.
            (datetime!(2026-10-24 20:00 UTC), Some("Europe/Berlin"), datetime!(2026-10-25 7:00 UTC)),
        ] {
            assert_eq!(next_morning(at, zone), expected, "{at} {zone:?}");
        }
    }
}

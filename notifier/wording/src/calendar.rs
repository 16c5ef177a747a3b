//! Dates as people write them, in their time zone.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use minijinja::{Value, context};
use serde::Deserialize;
use time::OffsetDateTime;

/// The hour of the day at which what can wait is mailed.
const MORNING: i8 = 8;

/// The names of a language's days and months.
#[derive(Clone, Debug, Deserialize)]
pub struct Calendar {
    /// From Monday on.
    pub weekdays: [String; 7],
    /// From January on.
    pub months: [String; 12],
}

impl Calendar {
    /// A moment in a time zone (IANA; UTC where it is none), as the phrase `date` puts it together.
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

/// The next eight o'clock in the morning after a moment, in a time zone (IANA; UTC where it is none).
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
    // The last day of the calendar has no next one.
    morning().unwrap_or(at)
}

/// Whether there is such a time zone (IANA).
#[must_use]
pub fn is_zone(name: &str) -> bool {
    TimeZone::get(name.trim()).is_ok()
}

/// What people call the time zone; many have no name, but are so far from UTC.
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
    fn a_zone_without_a_name_is_called_by_its_distance() {
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
    fn the_next_morning_is_at_eight_where_the_person_is() {
        for (at, zone, expected) in [
            (datetime!(2026-07-01 5:59 UTC), Some("Europe/Berlin"), datetime!(2026-07-01 6:00 UTC)),
            (datetime!(2026-07-01 6:00 UTC), Some("Europe/Berlin"), datetime!(2026-07-02 6:00 UTC)),
            (datetime!(2026-07-01 6:00 UTC), Some("America/New_York"), datetime!(2026-07-01 12:00 UTC)),
            (datetime!(2026-07-01 9:00 UTC), None, datetime!(2026-07-02 8:00 UTC)),
            (datetime!(2026-07-01 9:00 UTC), Some("Nowhere"), datetime!(2026-07-02 8:00 UTC)),
            // The clocks go back in the night between.
            (datetime!(2026-10-24 20:00 UTC), Some("Europe/Berlin"), datetime!(2026-10-25 7:00 UTC)),
        ] {
            assert_eq!(next_morning(at, zone), expected, "{at} {zone:?}");
        }
    }
}

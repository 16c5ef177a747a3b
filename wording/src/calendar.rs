//! Dates as people write them, in their time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::{Value, context};
use serde::Deserialize;
use time::OffsetDateTime;

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
        let zone = zone.and_then(|name| TimeZone::get(name.trim()).ok()).unwrap_or(TimeZone::UTC);
        let at = Timestamp::from_nanosecond(at.unix_timestamp_nanos()).ok()?.to_zoned_datetime(zone);
        let place = |one_based: i8| usize::try_from(one_based - 1).ok();
        let weekday = self.weekdays.get(place(at.weekday().to_monday_one_offset())?)?;
        let month = self.months.get(place(at.month())?)?;
        Some(context! {
            weekday, month, day => at.day(), year => at.year(),
            time => at.strftime("%H:%M").to_string(), zone => at.strftime("%Z").to_string(),
        })
    }
}

//! The schedule of pulls: the times of day in `ROLLCALL_PULL_AT`. Pure.

use std::str::FromStr;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, Time};

const MINUTES: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]");
const SECONDS: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second]");

/// Times of day in UTC, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times(Vec<Time>);

impl FromStr for Times {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time =
            |part: &str| Time::parse(part.trim(), MINUTES).or_else(|_| Time::parse(part.trim(), SECONDS));
        let times: Result<Vec<Time>, _> = text.split(',').map(time).collect();
        let mut times = times.map_err(|_| "must be times of day in UTC, such as 06:00,15:00")?;
        times.sort_unstable();
        times.dedup();
        Ok(Self(times))
    }
}

impl Default for Times {
    /// 06:00 and 15:00.
    fn default() -> Self {
        Self(vec![time::macros::time!(06:00), time::macros::time!(15:00)])
    }
}

impl Times {
    /// The last due time, now or before. A process that starts later catches up on this one, but not on earlier ones.
    #[must_use]
    pub fn last(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let on = |day: OffsetDateTime| self.0.iter().map(move |time| day.replace_time(*time));
        on(now - Duration::days(1)).chain(on(now)).filter(|due| *due <= now).max()
    }
}

/// The name of a slot: the same in every process, whatever its clock.
#[must_use]
pub fn slot(due: OffsetDateTime) -> String {
    scim::timestamp(due)
}

#[cfg(test)]
mod tests {
    use platform::clock::Clock;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn pull_is_due_at_the_default_times() {
        let clock = Clock::manual(datetime!(2026-11-27 05:59:59.999 UTC));
        let last = |clock: &Clock| Times::default().last(clock.now()).map(slot).unwrap();
        assert_eq!(last(&clock), "2026-11-26T15:00:00.000Z");
        clock.advance(Duration::milliseconds(1));
        assert_eq!(last(&clock), "2026-11-27T06:00:00.000Z");
        clock.advance(Duration::hours(8));
        assert_eq!(last(&clock), "2026-11-27T06:00:00.000Z", "a late start catches up on this one");
        clock.advance(Duration::hours(1));
        assert_eq!(last(&clock), "2026-11-27T15:00:00.000Z");
    }

    #[test]
    fn processes_with_different_clocks_name_the_same_slot() {
        let [a, b] = [datetime!(2026-11-27 06:00:00.001 UTC), datetime!(2026-11-27 06:00:07 UTC)];
        assert_eq!(Times::default().last(a).map(slot), Times::default().last(b).map(slot));
    }

    #[test]
    fn valid_times_are_parsed_and_others_rejected() {
        assert_eq!("06:00,15:00".parse(), Ok(Times::default()));
        assert_eq!(" 15:00:00, 06:00,06:00 ".parse(), Ok(Times::default()));
        for wrong in ["", "6", "25:00", "06:00,", "06:00;15:00", "06:00+01:00"] {
            assert!(wrong.parse::<Times>().is_err(), "{wrong}");
        }
    }
}

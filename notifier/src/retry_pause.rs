//! Backoff computed from an attempt count stored in the database.

use std::time::Duration;

use platform::retry::Delays;

/// The maximum pause.
pub const LONGEST: Duration = Duration::from_secs(3_600);

/// The pause after this many attempts: grows from `first` up to [`LONGEST`], with jitter.
#[must_use]
pub fn pause(first: Duration, attempts: i32) -> Duration {
    let mut delays = Delays::new(first, LONGEST);
    // The pause grows by half each time: starting at 1 s it reaches an hour after 21 steps.
    for _ in 0..attempts.clamp(0, 40) {
        delays.next_delay();
    }
    delays.next_delay()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_the_first_up_to_an_hour() {
        let first = Duration::from_secs(2);
        assert!(pause(first, 0) < Duration::from_secs(3));
        assert!(pause(first, 8) > Duration::from_secs(30) && pause(first, 8) < Duration::from_secs(80));
        for attempts in [25, i32::MAX] {
            assert!(
                pause(first, attempts) > LONGEST.mul_f64(0.6)
                    && pause(first, attempts) < LONGEST.mul_f64(1.4)
            );
        }
        assert!(pause(first, i32::MIN) < Duration::from_secs(3));
    }
}

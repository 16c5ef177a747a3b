//! Backoff: pauses between attempts, exponential with jitter. Only this module uses the crate `backoff`, so that
//! replacing it (RUSTSEC-2025-0012: unmaintained) changes one file.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// An endless series of growing pauses. Call [`Delays::reset`] after a success.
#[derive(Debug)]
pub struct Delays(ExponentialBackoff);

impl Delays {
    /// Pauses that grow by half from `first` to at most `longest`, with a jitter of ±30 %.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        let mut delays = ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            max_interval: longest,
            multiplier: 1.5,
            randomization_factor: 0.3,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        delays.reset();
        Self(delays)
    }

    /// For reconnecting to a dependency: 50 ms to 2 s.
    #[must_use]
    pub fn reconnect() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }

    /// For work that collided with another transaction: 10 ms to half a second, so that the two do not collide again.
    #[must_use]
    pub fn collision() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_millis(500))
    }

    /// The next pause.
    pub fn next_delay(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }

    /// Starts the series again.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// Waits for the next pause.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_stay_below_the_longest() {
        let mut delays = Delays::new(Duration::from_millis(10), Duration::from_millis(100));
        let series: Vec<_> = (0..20).map(|_| delays.next_delay()).collect();
        assert!(series[0] < Duration::from_millis(14));
        assert!(series[19] >= Duration::from_millis(70) && series[19] <= Duration::from_millis(130));
        delays.reset();
        assert!(delays.next_delay() < Duration::from_millis(14));
    }
}

//! How fast each tenant's mail may go out: by this notifier, on the average. Before it: the tenant's `mails_per_minute`; after it:
//! [`crate::sender`] leaves alone what is too early.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// When each tenant's next mail may go out. Those without a limit are not in it.
#[derive(Debug, Default)]
pub struct Pace(HashMap<Uuid, Instant>);

impl Pace {
    /// Notes that a mail of a tenant goes out now that wants so many in a minute; 0 is without a limit. Several that go out
    /// together are paid for by a longer pause.
    pub fn take(&mut self, tenant: Uuid, per_minute: u32, now: Instant) {
        if per_minute > 0 {
            let next = self.0.entry(tenant).or_insert(now);
            *next = (*next).max(now) + Duration::from_secs(60) / per_minute;
        }
    }

    /// The tenants whose next mail may not go out yet.
    pub fn paused(&mut self, now: Instant) -> Vec<Uuid> {
        self.0.retain(|_, next| *next > now);
        self.0.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_pauses_for_as_long_as_its_mails_are_worth() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let (slow, free) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let after = |seconds| start + Duration::from_secs(seconds);
        pace.take(free, 0, start);
        assert!(pace.paused(start).is_empty());
        for _ in 0..3 {
            pace.take(slow, 6, start);
        }
        assert_eq!(pace.paused(after(29)), [slow]);
        assert!(pace.paused(after(30)).is_empty(), "three mails at six a minute");
        pace.take(slow, 6, after(100));
        assert_eq!(pace.paused(after(109)), [slow], "what was not sent before is not saved up");
        assert!(pace.paused(after(110)).is_empty());
    }
}

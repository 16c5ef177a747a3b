//! Shares of a fixed number of units per tenant, with dynamic thresholds (Choudhury and Hahne, 1998): a tenant may hold
//! as many units as are free. A single tenant gets half, two get a third each, and there is always room for a new one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// A fixed number of units. Clones share them.
#[derive(Clone)]
pub struct Shares(Arc<Mutex<Ledger>>);

struct Ledger {
    free: usize,
    /// Units held, by tenant; tenants without units have no entry.
    taken: HashMap<Uuid, usize>,
}

/// Units that a tenant holds. Dropping this frees them.
pub struct Permit {
    shares: Shares,
    tenant: Uuid,
    units: usize,
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("units", &self.units).finish_non_exhaustive()
    }
}

/// The permits of a request: for the request itself and for its body. They move into work that continues when the
/// client disconnects, so that the work counts against the tenant's share until it ends.
#[derive(Clone, Debug, Default)]
pub struct Held(Vec<Arc<Permit>>);

impl Held {
    /// Adds a permit.
    #[must_use]
    pub fn and(mut self, permit: Permit) -> Self {
        self.0.push(Arc::new(permit));
        self
    }
}

impl Shares {
    /// Creates the units, all of them free.
    #[must_use]
    pub fn new(units: usize) -> Self {
        Self(Arc::new(Mutex::new(Ledger { free: units, taken: HashMap::new() })))
    }

    /// A permit for this many units; `None` if the tenant would then hold more units than remain free.
    #[must_use]
    pub fn acquire(&self, tenant: Uuid, units: usize) -> Option<Permit> {
        let mut ledger = self.ledger();
        let mine = ledger.taken.get(&tenant).copied().unwrap_or_default();
        if mine.saturating_add(units) > ledger.free {
            return None;
        }
        ledger.free -= units;
        ledger.taken.insert(tenant, mine + units);
        Some(Permit { shares: self.clone(), tenant, units })
    }

    /// A permit for this many units, or for all free ones if they are fewer.
    #[must_use]
    pub fn take(&self, tenant: Uuid, units: usize) -> Permit {
        let mut ledger = self.ledger();
        let units = units.min(ledger.free);
        ledger.free -= units;
        *ledger.taken.entry(tenant).or_default() += units;
        Permit { shares: self.clone(), tenant, units }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut ledger = self.shares.ledger();
        ledger.free += self.units;
        if let Some(mine) = ledger.taken.get_mut(&self.tenant) {
            *mine -= self.units;
            if *mine == 0 {
                ledger.taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acquires units until the tenant gets no more.
    fn fill(shares: &Shares, tenant: u128) -> Vec<Permit> {
        std::iter::from_fn(|| shares.acquire(Uuid::from_u128(tenant), 1)).collect()
    }

    #[test]
    fn one_tenant_gets_half_and_each_newcomer_half_of_the_rest() {
        let shares = Shares::new(1_024);
        let first = fill(&shares, 1);
        assert_eq!(first.len(), 512);
        let second = fill(&shares, 2);
        assert_eq!(second.len(), 256);
        assert!(
            shares.acquire(Uuid::from_u128(1), 1).is_none(),
            "a tenant above the threshold gets no more permits"
        );
        assert_eq!(fill(&shares, 3).len(), 128, "and there is always room for a newcomer");
    }

    #[test]
    fn two_busy_tenants_get_a_third_each() {
        let shares = Shares::new(900);
        let mut all = [fill(&shares, 1), fill(&shares, 2)];
        for _ in 0..1_000 {
            for (units, tenant) in all.iter_mut().zip([1, 2]) {
                units.pop();
                units.extend(fill(&shares, tenant));
            }
        }
        assert_eq!(all.map(|units| units.len()), [300, 300]);
    }

    #[test]
    fn what_is_taken_in_any_case_counts_too() {
        let shares = Shares::new(10);
        let (all, none) = (shares.take(Uuid::nil(), 20), shares.take(Uuid::max(), 1));
        assert_eq!((all.units, none.units), (10, 0));
        assert!(shares.acquire(Uuid::max(), 1).is_none());
        drop((all, none));
        let ledger = shares.ledger();
        assert_eq!((ledger.free, ledger.taken.len()), (10, 0));
    }

    #[test]
    fn released_permits_are_free_and_idle_tenants_are_removed() {
        let shares = Shares::new(10);
        let heavy = shares.acquire(Uuid::nil(), 5);
        assert!(heavy.is_some() && shares.acquire(Uuid::nil(), 1).is_none());
        assert!(shares.acquire(Uuid::max(), usize::MAX).is_none());
        drop(heavy);
        let ledger = shares.ledger();
        assert_eq!((ledger.free, ledger.taken.len()), (10, 0));
    }
}

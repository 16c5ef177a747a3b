//! Whose mail is sent next: tenants take turns, and none holds more places than remain free (dynamic thresholds, as for
//! the requests in ingest). A tenant alone has half of the places, two have a third each. Pure.

use std::collections::HashMap;
use std::hash::Hash;

use uuid::Uuid;

use crate::store::queue::{Quota, Waiting};

/// The places for mails that are being sent, by the key of their task, and the tenant whose turn was last.
pub struct Turns<K> {
    places: usize,
    holders: HashMap<K, Uuid>,
    last: Uuid,
}

impl<K: Eq + Hash> Turns<K> {
    /// This many places, all of them free.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places, holders: HashMap::new(), last: Uuid::nil() }
    }

    /// The number of free places.
    #[must_use]
    pub fn free(&self) -> usize {
        self.places.saturating_sub(self.holders.len())
    }

    /// The tenant whose turn was last; the next ones follow in the order of their ids.
    #[must_use]
    pub fn last(&self) -> Uuid {
        self.last
    }

    /// A mail of this tenant takes a place.
    pub fn begin(&mut self, task: K, tenant: Uuid) {
        self.holders.insert(task, tenant);
    }

    /// A task has ended, and its place is free.
    pub fn end(&mut self, task: &K) {
        self.holders.remove(task);
    }

    /// How many mails of which tenants may be leased now. `waiting` has the tenants in the order of their turns. Of the
    /// tenants that have room, at most one for each free place gets a turn; the next call begins behind them.
    pub fn take(&mut self, waiting: &[Waiting]) -> Vec<Quota> {
        let free = self.free();
        let mut quotas = Vec::new();
        for tenant in waiting {
            if quotas.len() == free {
                return quotas;
            }
            self.last = tenant.tenant_id;
            let room = if tenant.is_due { self.room(tenant.tenant_id) } else { 0 };
            if room > 0 {
                quotas
                    .push(Quota { tenant: tenant.tenant_id, mails: i32::try_from(room).unwrap_or(i32::MAX) });
            }
        }
        quotas
    }

    /// How many more places the tenant may hold, so that it does not hold more than remain free. Whoever holds none may
    /// always take the last free place.
    fn room(&self, tenant: Uuid) -> usize {
        let held = self.holders.values().filter(|holder| **holder == tenant).count();
        let free = self.free();
        (free.saturating_sub(held) / 2).max(usize::from(held == 0)).min(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(tenants: &[u128]) -> Vec<Waiting> {
        tenants.iter().map(|n| Waiting { tenant_id: Uuid::from_u128(*n), is_due: true }).collect()
    }

    fn taken(turns: &mut Turns<usize>, tenants: &[u128]) -> Vec<(u128, i32)> {
        turns.take(&waiting(tenants)).iter().map(|quota| (quota.tenant.as_u128(), quota.mails)).collect()
    }

    #[test]
    fn a_tenant_alone_has_half_of_the_places_and_leaves_room_for_others() {
        let mut turns = Turns::new(16);
        assert_eq!(taken(&mut turns, &[1]), [(1, 8)]);
        (0..8).for_each(|task| turns.begin(task, Uuid::from_u128(1)));
        assert_eq!(taken(&mut turns, &[1]), [], "it holds as many as are free");
        assert_eq!(taken(&mut turns, &[1, 2]), [(2, 4)]);
        turns.end(&0);
        assert_eq!(taken(&mut turns, &[1]), [(1, 1)]);
    }

    #[test]
    fn the_last_place_is_for_a_tenant_that_has_none() {
        let mut turns = Turns::new(3);
        for (task, tenant) in [(0, 1), (1, 2)] {
            turns.begin(task, Uuid::from_u128(tenant));
        }
        assert_eq!(taken(&mut turns, &[1, 2, 3]), [(3, 1)]);
        turns.begin(2, Uuid::from_u128(3));
        assert_eq!(taken(&mut turns, &[4]), []);
    }

    #[test]
    fn tenants_take_turns() {
        let mut turns = Turns::new(2);
        assert_eq!(taken(&mut turns, &[1, 2, 3, 4]), [(1, 1), (2, 1)]);
        assert_eq!(turns.last(), Uuid::from_u128(2));
        assert_eq!(taken(&mut turns, &[3, 4, 1, 2]), [(3, 1), (4, 1)]);
        let resting = Waiting { tenant_id: Uuid::from_u128(5), is_due: false };
        assert_eq!(turns.take(&[resting]), []);
        assert_eq!(turns.last(), resting.tenant_id, "nothing of it is due; the others follow");
    }
}

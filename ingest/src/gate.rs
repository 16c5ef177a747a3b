//! How much of a whole each tenant may take while others are there: dynamic thresholds (Choudhury and Hahne, 1998). A
//! tenant may have as much in hand as is free: alone it gets half, two get a third each, and there is always something
//! left for one who comes new.
//!
//! Before it: a request whose tenant is known. After it: whatever the request does, as long as it holds its place.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// The gate to a whole of places. Clones share it.
#[derive(Clone)]
pub struct Gate(Arc<Mutex<Hall>>);

struct Hall {
    free: usize,
    /// Places taken, by tenant; those who have none are forgotten.
    taken: HashMap<Uuid, usize>,
}

/// Places that a tenant has; free again when this is dropped.
pub struct Place {
    gate: Gate,
    tenant: Uuid,
    places: usize,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("places", &self.places).finish_non_exhaustive()
    }
}

/// What a request has in hand: its place, and the room for its body. It moves into the work that goes on when the client hangs up, so
/// that this counts for its tenant until its end.
#[derive(Clone, Debug, Default)]
pub struct Held(Vec<Arc<Place>>);

impl Held {
    /// With this in addition.
    #[must_use]
    pub fn and(mut self, place: Place) -> Self {
        self.0.push(Arc::new(place));
        self
    }
}

impl Gate {
    /// A gate to so many places, all free.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(Hall { free: places, taken: HashMap::new() })))
    }

    /// So many places for this tenant; `None` if it would have more than would be left free.
    #[must_use]
    pub fn enter(&self, tenant: Uuid, places: usize) -> Option<Place> {
        let mut hall = self.hall();
        let mine = hall.taken.get(&tenant).copied().unwrap_or_default();
        if mine.saturating_add(places) > hall.free {
            return None;
        }
        hall.free -= places;
        hall.taken.insert(tenant, mine + places);
        Some(Place { gate: self.clone(), tenant, places })
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut hall = self.gate.hall();
        hall.free += self.places;
        if let Some(mine) = hall.taken.get_mut(&self.tenant) {
            *mine -= self.places;
            if *mine == 0 {
                hall.taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All places that the tenant gets.
    fn fill(gate: &Gate, tenant: u128) -> Vec<Place> {
        std::iter::from_fn(|| gate.enter(Uuid::from_u128(tenant), 1)).collect()
    }

    #[test]
    fn one_tenant_alone_gets_half_and_the_next_what_is_fair_of_the_rest() {
        let gate = Gate::new(1_024);
        let first = fill(&gate, 1);
        assert_eq!(first.len(), 512);
        let second = fill(&gate, 2);
        assert_eq!(second.len(), 256);
        assert!(
            gate.enter(Uuid::from_u128(1), 1).is_none(),
            "whoever has more than that waits until it has less"
        );
        assert_eq!(fill(&gate, 3).len(), 128, "and there is always room for a newcomer");
    }

    #[test]
    fn two_who_come_and_go_get_a_third_each() {
        let gate = Gate::new(900);
        let mut all = [fill(&gate, 1), fill(&gate, 2)];
        for _ in 0..1_000 {
            for (places, tenant) in all.iter_mut().zip([1, 2]) {
                places.pop();
                places.extend(fill(&gate, tenant));
            }
        }
        assert_eq!(all.map(|places| places.len()), [300, 300]);
    }

    #[test]
    fn what_is_given_back_is_free_and_nobody_is_remembered() {
        let gate = Gate::new(10);
        let heavy = gate.enter(Uuid::nil(), 5);
        assert!(heavy.is_some() && gate.enter(Uuid::nil(), 1).is_none());
        assert!(gate.enter(Uuid::max(), usize::MAX).is_none());
        drop(heavy);
        let hall = gate.hall();
        assert_eq!((hall.free, hall.taken.len()), (10, 0));
    }
}

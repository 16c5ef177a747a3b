//! Connections of one class, grouped by address and ordered by age, with limits on all and on those of one address.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long a new connection is spared if only its address has too many.
pub(super) const SPARED: Duration = Duration::from_secs(5);

/// Where a connection is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its address, or the network that counts as one.
    pub(super) network: IpAddr,
    /// Whether a request is being handled.
    pub(super) is_busy: bool,
    /// When it came here; unique.
    pub(super) turn: u64,
}

/// Waiting connections come before busy ones, old ones before new ones.
type Order = (bool, u64);

/// Connections with the same limits.
pub(super) struct Class {
    most: usize,
    most_each: usize,
    count: usize,
    groups: HashMap<IpAddr, BTreeMap<Order, CancellationToken>>,
    /// The groups by size; among equal ones the one with the oldest connection is last.
    by_size: BTreeSet<(usize, Reverse<Order>, IpAddr)>,
}

impl Place {
    fn order(self) -> Order {
        (self.is_busy, self.turn)
    }
}

impl Class {
    /// At most `most` connections, and `most_each` with one address.
    pub(super) fn new(most: usize, most_each: usize) -> Self {
        Self { most, most_each, count: 0, groups: HashMap::new(), by_size: BTreeSet::new() }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= self.most
    }

    pub(super) fn insert(&mut self, place: Place, evicted: CancellationToken) {
        self.change_group(place.network, |group| group.insert(place.order(), evicted));
        self.count += 1;
    }

    /// Removes a connection, if it is there.
    pub(super) fn remove(&mut self, place: Place) -> Option<CancellationToken> {
        let removed = self.change_group(place.network, |group| group.remove(&place.order()));
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// The connection that must go before one of this network may be inserted.
    pub(super) fn victim(&self, network: IpAddr, now: u64) -> Option<Place> {
        let own = self.groups.get(&network).filter(|group| group.len() >= self.most_each);
        let own = own.and_then(|group| group.keys().next()).filter(|order| !is_spared(**order, now));
        let own = own.map(|order| place(network, *order));
        own.or_else(|| if self.is_full() { self.largest().map(|(_, place)| place) } else { None })
    }

    /// Removes a connection of an address that has too many.
    pub(super) fn take_excess(&mut self, now: u64) -> Option<CancellationToken> {
        let (size, place) = self.largest()?;
        if size <= self.most_each || is_spared(place.order(), now) {
            return None;
        }
        self.remove(place)
    }

    /// The size of the largest group, and its first connection.
    fn largest(&self) -> Option<(usize, Place)> {
        self.by_size.last().map(|(size, Reverse(order), network)| (*size, place(*network, *order)))
    }

    /// Changes a group, and its position by size.
    fn change_group<T>(
        &mut self,
        network: IpAddr,
        change: impl FnOnce(&mut BTreeMap<Order, CancellationToken>) -> T,
    ) -> T {
        let group = self.groups.entry(network).or_default();
        if let Some(first) = group.keys().next() {
            self.by_size.remove(&(group.len(), Reverse(*first), network));
        }
        let changed = change(group);
        match group.keys().next() {
            Some(first) => drop(self.by_size.insert((group.len(), Reverse(*first), network))),
            None => drop(self.groups.remove(&network)),
        }
        changed
    }
}

fn place(network: IpAddr, (is_busy, turn): Order) -> Place {
    Place { network, is_busy, turn }
}

fn is_spared((_, turn): Order, now: u64) -> bool {
    u128::from(now.saturating_sub(turn)) < SPARED.as_micros()
}

/// What counts as one address: an IPv4 address, or a /64 of IPv6, which is what one customer gets at least.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

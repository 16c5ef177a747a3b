//! What waits in the lanes, and how much of it a tenant may have there.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amqp::dead::Attempt;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::decode::Incoming;
use crate::parts;

/// A number of messages and their size. A tenant may have as much in its lane as is free for all: alone half of the
/// total, two a third each. Whatever exceeds this waits in the broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Messages.
    pub messages: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
}

/// A command in a lane.
#[derive(Debug)]
pub struct Item {
    /// The command and its message.
    pub incoming: Incoming,
    /// Its earlier deliveries, if it may be poison and must be applied in isolation.
    pub isolated: Option<u64>,
    /// The failed attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// How often it was blocked by other transactions.
    pub blocked: u32,
}

impl Item {
    /// A command that was not attempted yet.
    #[must_use]
    pub fn new(incoming: Incoming, isolated: Option<u64>) -> Self {
        Self { incoming, isolated, attempts: Vec::new(), blocked: 0 }
    }

    /// The command's tenant.
    #[must_use]
    pub fn tenant(&self) -> Uuid {
        self.incoming.command.tenant
    }

    /// The size of its message.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.incoming.delivery.data.len()
    }
}

/// All lanes.
#[derive(Debug)]
pub(super) struct Rooms {
    most: Share,
    held: Share,
    rooms: HashMap<Uuid, Room>,
    freed: Arc<Notify>,
}

/// What waits in a lane. `held` includes what is being applied.
#[derive(Debug, Default)]
struct Room {
    waiting: VecDeque<Item>,
    held: Share,
    wake: Arc<Notify>,
    /// Whether the last round decided nothing.
    is_stuck: bool,
}

/// Locks the rooms. No code that holds the lock panics halfway through a change.
pub(super) fn locked(rooms: &Mutex<Rooms>) -> MutexGuard<'_, Rooms> {
    rooms.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rooms {
    pub(super) fn new(most: Share) -> Self {
        Self { most, held: Share::default(), rooms: HashMap::new(), freed: Arc::default() }
    }

    pub(super) fn has(&self, tenant: Uuid) -> bool {
        self.rooms.contains_key(&tenant)
    }

    pub(super) fn are_empty(&self) -> bool {
        self.held.messages == 0
    }

    pub(super) fn is_stuck(&self, tenant: Uuid) -> bool {
        self.rooms.get(&tenant).is_some_and(|room| room.is_stuck)
    }

    pub(super) fn set_stuck(&mut self, tenant: Uuid, is_stuck: bool) {
        if let Some(room) = self.rooms.get_mut(&tenant) {
            room.is_stuck = is_stuck;
        }
    }

    pub(super) fn freed(&self) -> Arc<Notify> {
        Arc::clone(&self.freed)
    }

    /// Whether the tenant may add a message of this size.
    pub(super) fn admits(&self, tenant: Uuid, bytes: usize) -> bool {
        let own = self.rooms.get(&tenant).map(|room| room.held).unwrap_or_default();
        let free = Share {
            messages: self.most.messages.saturating_sub(self.held.messages),
            bytes: self.most.bytes.saturating_sub(self.held.bytes),
        };
        own.messages < free.messages && (own.bytes + bytes <= free.bytes || own.messages == 0)
    }

    /// Adds a message. If the lane is new, returns what wakes it.
    pub(super) fn add(&mut self, tenant: Uuid, item: Item) -> Option<Arc<Notify>> {
        let is_new = !self.rooms.contains_key(&tenant);
        let room = self.hold(tenant, item.bytes());
        room.waiting.push_back(item);
        room.wake.notify_one();
        is_new.then(|| Arc::clone(&room.wake))
    }

    /// Takes the place of a message of this size, in the lane of this tenant.
    fn hold(&mut self, tenant: Uuid, bytes: usize) -> &mut Room {
        let room = self.rooms.entry(tenant).or_default();
        for held in [&mut room.held, &mut self.held] {
            held.messages += 1;
            held.bytes += bytes;
        }
        room
    }

    /// The next commands of a lane: at most `limit`, and not more than [`parts::ALONE`] bytes.
    pub(super) fn take(&mut self, tenant: Uuid, limit: usize) -> Vec<Item> {
        let Some(room) = self.rooms.get_mut(&tenant) else { return Vec::new() };
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(next) = room.waiting.front() {
            bytes += next.bytes();
            if taken.len() == limit || !taken.is_empty() && bytes > parts::ALONE {
                break;
            }
            taken.extend(room.waiting.pop_front());
        }
        taken
    }

    /// Frees the place of a message that is acknowledged.
    pub(super) fn free(&mut self, tenant: Uuid, bytes: usize) {
        let room = self.rooms.get_mut(&tenant).map(|room| &mut room.held);
        for held in room.into_iter().chain([&mut self.held]) {
            held.messages = held.messages.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(bytes);
        }
        self.freed.notify_one();
    }

    /// Removes the lane if it is empty. Returns whether it was.
    pub(super) fn close(&mut self, tenant: Uuid) -> bool {
        let is_empty = self.rooms.get(&tenant).is_none_or(|room| room.held.messages == 0);
        if is_empty {
            self.rooms.remove(&tenant);
        }
        is_empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(0xa);
    const B: Uuid = Uuid::from_u128(0xb);

    #[test]
    fn a_blocked_tenant_has_half_of_the_messages_and_leaves_room_for_others() {
        let mut rooms = Rooms::new(Share { messages: 12, bytes: usize::MAX });
        while rooms.admits(A, 1) {
            rooms.hold(A, 1);
        }
        assert_eq!(rooms.rooms[&A].held.messages, 6);
        while rooms.admits(B, 1) {
            rooms.hold(B, 1);
        }
        assert_eq!(rooms.rooms[&B].held.messages, 3);
        rooms.free(A, 1);
        assert!(rooms.admits(B, 1) && !rooms.close(A), "a place was freed");
    }

    #[test]
    fn a_tenant_with_large_messages_has_half_of_the_bytes_and_each_has_one_message() {
        let mut rooms = Rooms::new(Share { messages: 100, bytes: 1_000 });
        while rooms.admits(A, 200) {
            rooms.hold(A, 200);
        }
        assert_eq!(rooms.rooms[&A].held, Share { messages: 3, bytes: 600 });
        assert!(rooms.admits(B, 5_000));
        rooms.hold(B, 5_000);
        assert!(!rooms.admits(B, 1));
        for bytes in [200; 3] {
            rooms.free(A, bytes);
        }
        assert!(rooms.close(A) && !rooms.has(A) && !rooms.are_empty());
    }
}

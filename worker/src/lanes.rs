//! Lanes: while a tenant's commands must be applied apart from those of others, each such tenant has a lane, a task that
//! applies them. A lane may wait for locks as long as it takes; batches of other tenants go on meanwhile.
//!
//! A lane begins when [`crate::consumer`] sets commands aside, and receives all further commands of its tenant until it is
//! empty. Its messages stay unacknowledged. They are bounded: see [`Share`].

mod lane;
mod rooms;

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::lane::Lane;
pub use self::rooms::{Item, Share};
use self::rooms::{Rooms, locked};
use crate::complete::{Completer, Line};

/// The lanes of one subscription. Dropping them ends their tasks.
pub struct Lanes {
    rooms: Arc<Mutex<Rooms>>,
    tasks: JoinSet<()>,
    ended: CancellationToken,
    limit: usize,
}

impl Lanes {
    /// None yet. They may hold `share` in total. A transaction has at most `limit` commands.
    #[must_use]
    pub fn new(share: Share, limit: usize) -> Self {
        let rooms = Arc::new(Mutex::new(Rooms::new(share)));
        Self { rooms, tasks: JoinSet::new(), ended: CancellationToken::new(), limit }
    }

    /// Whether this tenant has a lane.
    #[must_use]
    pub fn has(&self, tenant: Uuid) -> bool {
        locked(&self.rooms).has(tenant)
    }

    /// Whether no message is set aside.
    #[must_use]
    pub fn are_empty(&self) -> bool {
        locked(&self.rooms).are_empty()
    }

    /// Whether a lane of these commands' tenants makes progress, and so will have room for them.
    #[must_use]
    pub fn make_room_for(&self, items: &[Item]) -> bool {
        let rooms = locked(&self.rooms);
        items.iter().any(|item| !rooms.is_stuck(item.tenant()))
    }

    /// Notified when a place becomes free.
    #[must_use]
    pub fn freed(&self) -> Arc<Notify> {
        locked(&self.rooms).freed()
    }

    /// Adds a command to the lane of its tenant. Returns it if the tenant's share is used up, unless it is `forced`.
    ///
    /// # Panics
    /// If a lane has panicked: its messages would wait for ever.
    pub fn add(&mut self, completer: &Arc<Completer>, line: &Line, item: Item, forced: bool) -> Option<Item> {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let tenant = item.incoming.command.tenant;
        let mut rooms = locked(&self.rooms);
        if !forced && !rooms.admits(tenant, item.bytes()) {
            return Some(item);
        }
        if let Some(wake) = rooms.add(tenant, item) {
            let lane = Lane {
                tenant,
                wake,
                rooms: Arc::clone(&self.rooms),
                completer: Arc::clone(completer),
                line: line.clone(),
                ended: self.ended.clone(),
                limit: self.limit,
            };
            self.tasks.spawn(lane.run());
        }
        None
    }

    /// Ends all lanes once they have finished what they are doing. The broker returns their other messages.
    pub async fn end(mut self) {
        self.ended.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

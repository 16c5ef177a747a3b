//! One lane: applies the commands of a tenant together, then those that failed one by one, until none is left.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp::Message;
use platform::retry::Delays;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use super::rooms::{Item, Rooms, locked};
use crate::apply::{Decided, Manner, Stopped};
use crate::complete::{Completer, Line};

/// How many commands may be blocked in a round before the others of the tenant are presumed to be blocked too.
const BLOCKED: usize = 3;

/// How often a blocked command waits for locks; at other times it only looks whether they are free. Few can wait.
const PATIENT: u32 = 4;

/// The task of a lane.
pub(super) struct Lane {
    pub tenant: Uuid,
    /// Notified when a command is added.
    pub wake: Arc<Notify>,
    pub rooms: Arc<Mutex<Rooms>>,
    pub completer: Arc<Completer>,
    pub line: Line,
    pub ended: CancellationToken,
    /// The maximum number of commands in a transaction.
    pub limit: usize,
}

/// The lane ends before it is empty: the subscription is closing, or broken. The broker returns its messages.
struct Ended;

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self
    }
}

/// How to try a command by itself.
fn manner(item: &Item) -> Manner {
    match (item.isolated, item.blocked % PATIENT) {
        (Some(_), _) => Manner::Isolated,
        (None, 1) => Manner::Patient,
        (None, _) => Manner::Part,
    }
}

/// New commands are tried before those that were blocked.
fn put_first(single: &mut VecDeque<Item>, items: Vec<Item>) {
    for item in items.into_iter().rev() {
        single.push_front(item);
    }
}

impl Lane {
    /// Applies commands until the lane is empty.
    pub(super) async fn run(self) {
        debug!(tenant.id = %self.tenant, queue = self.completer.queue, "applying a tenant's commands apart");
        if self.work().await.is_ok() {
            debug!(tenant.id = %self.tenant, queue = self.completer.queue, "the tenant's lane is empty");
        }
    }

    async fn work(&self) -> Result<(), Ended> {
        // Those that failed, and are applied one by one.
        let mut single = VecDeque::new();
        let (mut delays, mut due) = (Delays::reconnect(), Instant::now());
        loop {
            if self.ended.is_cancelled() {
                return Err(Ended);
            }
            let next = locked(&self.rooms).take(self.tenant, self.limit);
            if next.is_empty() && single.is_empty() && locked(&self.rooms).close(self.tenant) {
                return Ok(());
            }
            let is_new = !next.is_empty();
            let mut is_done = is_new && self.together(next, &mut single).await?;
            if is_new && !is_done || due <= Instant::now() {
                is_done |= self.one_by_one(&mut single).await?;
                due = Instant::now() + if is_done { Duration::ZERO } else { delays.next_delay() };
            }
            locked(&self.rooms).set_stuck(self.tenant, !is_done);
            if is_done {
                delays.reset();
            } else {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.wake.notified() => {}
                    () = self.ended.cancelled() => {}
                }
            }
        }
    }

    /// Applies commands in one transaction. If it fails, they are added to `single`. Returns whether it succeeded.
    async fn together(&self, items: Vec<Item>, single: &mut VecDeque<Item>) -> Result<bool, Ended> {
        let (isolated, mut items): (Vec<Item>, Vec<Item>) =
            items.into_iter().partition(|item| item.isolated.is_some());
        put_first(single, isolated);
        if items.is_empty() {
            return Ok(false);
        }
        let mut commands = Vec::with_capacity(items.len());
        for item in &items {
            commands.push(&item.incoming.command);
        }
        match self.completer.applier.apply(&commands, Manner::Part).await? {
            Ok(verdicts) => {
                self.complete(items.into_iter().zip(verdicts).collect()).await?;
                Ok(true)
            }
            Err(error) => {
                if let [item] = &mut *items {
                    item.blocked = u32::from(error.is_transient());
                } else {
                    // One command is the cause; the others must not fail with it.
                    warn!(%error, batch = items.len(), "batch failed, applying its commands one by one");
                }
                put_first(single, items);
                Ok(false)
            }
        }
    }

    /// Tries each command by itself. Those that must be tried again stay. Returns whether any was decided.
    async fn one_by_one(&self, single: &mut VecDeque<Item>) -> Result<bool, Ended> {
        let (mut is_done, mut blocked) = (false, 0);
        for _ in 0..single.len() {
            if self.ended.is_cancelled() {
                return Err(Ended);
            }
            let Some(mut item) = single.pop_front() else { break };
            match self.alone(&mut item).await? {
                Some(verdict) => {
                    is_done = true;
                    self.complete(vec![(item, verdict)]).await?;
                }
                None => {
                    blocked += if manner(&item) == Manner::Part { 1 } else { BLOCKED };
                    item.blocked = item.blocked.saturating_add(1);
                    single.push_back(item);
                    if blocked >= BLOCKED {
                        break;
                    }
                }
            }
        }
        Ok(is_done)
    }

    /// Tries a command; `None` if it must be tried again.
    async fn alone(&self, item: &mut Item) -> Result<Option<Decided>, Ended> {
        let (applier, command) = (&self.completer.applier, &item.incoming.command);
        let manner = manner(item);
        let tried = match item.isolated {
            Some(deliveries) => applier.apply_in_isolation(command, deliveries, &mut item.attempts).await?,
            None => applier.apply_alone(command, manner, &mut item.attempts).await?,
        };
        let error = match tried {
            Ok(verdict) => return Ok(Some(verdict)),
            Err(error) => error,
        };
        if error.is_transient() && item.blocked == 1 {
            warn!(%error, command = %command.ticket, "command blocked by other transactions, retrying");
        }
        Ok(None)
    }

    /// Replies, buries, acknowledges, in this order, and frees the places.
    async fn complete(&self, items: Vec<(Item, Decided)>) -> Result<(), Ended> {
        let poison: Vec<_> = items
            .iter()
            .filter(|(item, verdict)| item.isolated.is_some() && verdict.is_err())
            .map(|(item, _)| item.incoming.command.ticket)
            .collect();
        let (items, verdicts): (Vec<Item>, Vec<Decided>) = items.into_iter().unzip();
        let mut decided = Vec::with_capacity(items.len());
        for (item, verdict) in items.iter().zip(verdicts) {
            decided.push((&item.incoming, verdict));
        }
        let dead = self.completer.reply(&self.line, decided).await.map_err(|_| Ended)?;
        self.bury(&dead).await?;
        // Only after the dead letters are confirmed; otherwise a redelivery would be attempted again.
        for ticket in poison {
            self.completer.applier.leave_quarantine(ticket).await;
        }
        let mut deliveries = Vec::with_capacity(items.len());
        for item in &items {
            deliveries.push(&item.incoming.delivery);
        }
        self.line.ack(&deliveries).await.map_err(|_| Ended)?;
        let mut rooms = locked(&self.rooms);
        for item in &items {
            rooms.free(self.tenant, item.bytes());
        }
        Ok(())
    }

    async fn bury(&self, dead: &[Message]) -> Result<(), Ended> {
        let mut delays = Delays::reconnect();
        while let Err(error) = self.completer.bury(dead).await {
            warn!(%error, queue = self.completer.queue, "failed to publish a dead letter, retrying");
            tokio::select! {
                () = delays.pause() => {}
                () = self.ended.cancelled() => return Err(Ended),
            }
        }
        Ok(())
    }
}

//! The consumer of a command queue. Per batch: read, decide, commit, reply, acknowledge. [`crate::relay`] then
//! publishes the events.
//!
//! Commands of several tenants share a transaction, as long as none holds up the others. A tenant whose commands wait for
//! a lock, fail, or may take long is set aside: it continues in a lane of its own ([`crate::lanes`]).

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use amqp::{self, Batch, Handle, Link, Message, Subscription, Unfinished, later};
use database::Limits;
use lapin::message::Delivery;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::apply::{Decided, Error, Manner, Stopped};
use crate::complete::{Completer, Line};
use crate::decode::{self, Incoming};
use crate::lanes::{Item, Lanes, Share};
use crate::{parts, quarantine, sabotage};

/// The maximum size of the messages that are set aside, of all tenants.
const ASIDE: usize = 64 << 20;
/// How long a batch waits for room in a lane that makes progress: as long as it might have waited for a lock.
const ROOM: Duration = Limits::WORKER.lock;

/// Consumes batches from one command queue and gives each command its verdict.
pub struct Consumer {
    /// The connection to the broker.
    pub link: Link,
    /// The maximum number of commands in one transaction. It is small for commands that no client waits for, so that
    /// they do not hold locks for long on rows that an interactive request needs.
    pub limit: u16,
    /// Stops the consumer.
    pub stop: CancellationToken,
    completer: Arc<Completer>,
    lanes: Mutex<Lanes>,
}

impl Consumer {
    /// A consumer of the completer's queue.
    #[must_use]
    pub fn new(link: Link, completer: Completer, limit: u16, stop: CancellationToken) -> Self {
        Self { link, limit, stop, completer: Arc::new(completer), lanes: Mutex::new(lanes(limit)) }
    }

    /// Consumes until `stop`.
    pub async fn run(self) {
        amqp::consume(self.link.clone(), self.completer.queue, self.limit, &self.stop, &self).await;
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sort(&self, batch: Batch) -> Sorted {
        let mut sorted = Sorted::default();
        for delivery in batch {
            match decode::read(&delivery) {
                Ok(command) => {
                    let deliveries = decode::earlier_deliveries(&delivery);
                    let incoming = Incoming { delivery, command };
                    if deliveries >= quarantine::MIN_DELIVERIES {
                        sorted.aside.push(Item::new(incoming, Some(deliveries)));
                    } else {
                        sorted.commands.push(incoming);
                    }
                }
                Err(reason) => {
                    let attempt = self.completer.applier.attempt_now(reason);
                    sorted.dead.push(self.completer.letter(&delivery, &[attempt]));
                    sorted.unreadable.push(delivery);
                }
            }
        }
        let sized = sorted.commands.iter().map(|incoming| (&incoming.command, incoming.delivery.data.len()));
        let apart = parts::apart(sized);
        let quarantined: BTreeSet<Uuid> = sorted.aside.iter().map(Item::tenant).collect();
        let lanes = self.lanes();
        sorted.set_aside(|tenant| {
            apart.contains(&tenant) || quarantined.contains(&tenant) || lanes.has(tenant)
        });
        sorted
    }

    /// Applies the commands in one transaction. Tenants that would hold it up are set aside, and all if it fails: then
    /// one of them is the cause, and must not delay the others again.
    async fn apply(&self, sorted: &mut Sorted) -> Result<Vec<Decided>, Unfinished> {
        while !sorted.commands.is_empty() {
            let asked: Vec<_> = sorted.commands.iter().map(|incoming| &incoming.command).collect();
            let applied = self.completer.applier.apply(&asked, Manner::Together).await;
            match applied.map_err(|Stopped| Unfinished::Stopped)? {
                Ok(verdicts) => return Ok(verdicts),
                Err(Error::Busy(tenants)) => sorted.set_aside(|tenant| tenants.contains(&tenant)),
                Err(error) => {
                    info!(%error, batch = asked.len(), "batch failed, applying it by tenant");
                    sorted.set_aside(|_| true);
                }
            }
        }
        Ok(Vec::new())
    }

    /// Hands commands to the lanes of their tenants. Those that exceed their tenant's share stay in `sorted.aside`.
    fn hand_over(&self, line: &Line, sorted: &mut Sorted) {
        let mut lanes = self.lanes();
        let mut excess = Vec::new();
        for item in mem::take(&mut sorted.aside) {
            excess.extend(lanes.add(&self.completer, line, item, false));
        }
        sorted.aside = excess;
    }

    /// What exceeds a tenant's share waits here as long as the tenant's lane soon has room, then in the broker for a
    /// while. If the broker refuses that, the lane takes it nevertheless.
    async fn hand_over_excess(&self, line: &Line, sorted: &mut Sorted) -> Result<(), Unfinished> {
        let until = tokio::time::Instant::now() + ROOM;
        while self.lanes().make_room_for(&sorted.aside) {
            let freed = self.lanes().freed();
            let is_late = tokio::time::timeout_at(until, freed.notified()).await.is_err();
            self.hand_over(line, sorted);
            if is_late {
                break;
            }
        }
        let excess = mem::take(&mut sorted.aside);
        if excess.is_empty() {
            return Ok(());
        }
        let (queue, mut copies) = (self.completer.queue, Vec::with_capacity(excess.len()));
        for item in &excess {
            let delivery = &item.incoming.delivery;
            copies.extend(later::message(delivery, queue, decode::earlier_deliveries(delivery)));
        }
        if let Err(error) = self.completer.publisher.publish(&copies).await {
            warn!(%error, queue, "commands beyond their tenant's share cannot wait in the broker");
            let mut lanes = self.lanes();
            for item in excess {
                lanes.add(&self.completer, line, item, true);
            }
            return Ok(());
        }
        info!(queue, commands = excess.len(), "commands beyond their tenant's share wait in the broker");
        let mut deliveries = Vec::with_capacity(excess.len());
        for item in &excess {
            deliveries.push(&item.incoming.delivery);
        }
        Ok(line.ack(&deliveries).await?)
    }

    /// Commits, replies and acknowledges, in this order.
    async fn process_batch(
        &self,
        subscription: &Subscription,
        sorted: &mut Sorted,
    ) -> Result<(), Unfinished> {
        let line = Line::of(subscription);
        self.hand_over(&line, sorted);
        #[cfg(feature = "sabotage")]
        if sabotage::replies_before_commit() {
            let mut asked = Vec::new();
            for incoming in &sorted.commands {
                asked.push(&incoming.command);
            }
            let foretold = self.completer.applier.foretell(&asked).await;
            for (incoming, verdict) in sorted.commands.iter().zip(foretold) {
                if let Ok(decision) = verdict {
                    line.reply(incoming, &decision).await?;
                }
            }
            sabotage::linger().await;
        }
        let verdicts = self.apply(sorted).await?;
        self.hand_over(&line, sorted);
        let decided = sorted.commands.iter().zip(verdicts).collect();
        let dead = self.completer.reply(&line, decided).await?;
        sorted.dead.extend(dead);
        self.completer.bury(&sorted.dead).await?;
        if sabotage::ignores_stored_verdicts() {
            sabotage::linger().await;
        }
        self.acknowledge(subscription, &line, sorted).await?;
        self.hand_over_excess(&line, sorted).await
    }

    async fn acknowledge(
        &self,
        subscription: &Subscription,
        line: &Line,
        sorted: &Sorted,
    ) -> Result<(), Unfinished> {
        let deliveries = sorted.deliveries();
        let Some(last) = deliveries.iter().max_by_key(|delivery| delivery.delivery_tag) else {
            return Ok(());
        };
        if sabotage::acks_before_commit() {
            return Ok(());
        }
        // Only this task adds messages to the lanes.
        if sorted.aside.is_empty() && self.lanes().are_empty() {
            return Ok(subscription.ack_up_to(last).await?);
        }
        Ok(line.ack(&deliveries).await?)
    }
}

fn lanes(limit: u16) -> Lanes {
    let messages = usize::from(limit) * usize::from(Consumer::BATCHES - 1);
    Lanes::new(Share { messages, bytes: ASIDE }, limit.into())
}

/// A batch, sorted by treatment.
#[derive(Default)]
struct Sorted {
    /// Applied together.
    commands: Vec<Incoming>,
    /// For the lanes of their tenants.
    aside: Vec<Item>,
    /// No commands.
    unreadable: Vec<Delivery>,
    dead: Vec<Message>,
}

impl Sorted {
    /// Sets the commands of these tenants aside.
    fn set_aside(&mut self, is_apart: impl Fn(Uuid) -> bool) {
        let commands = mem::take(&mut self.commands);
        let (aside, together): (Vec<_>, Vec<_>) =
            commands.into_iter().partition(|incoming| is_apart(incoming.command.tenant));
        self.commands = together;
        self.aside.extend(aside.into_iter().map(|incoming| Item::new(incoming, None)));
    }

    /// The messages that are not set aside.
    fn deliveries(&self) -> Vec<&Delivery> {
        self.commands.iter().map(|incoming| &incoming.delivery).chain(&self.unreadable).collect()
    }
}

impl Handle for Consumer {
    /// One that is applied, and as many as may be set aside.
    const BATCHES: u16 = 3;

    async fn handle(&self, subscription: &Subscription, batch: Batch) -> Result<(), Unfinished> {
        let started = Instant::now();
        if sabotage::acks_before_commit() {
            subscription.ack(&batch).await?;
            sabotage::linger().await;
        }
        let size = batch.len();
        let mut sorted = self.sort(batch);
        let aside = sorted.aside.iter().map(|item| &item.incoming);
        let oldest = sorted.commands.iter().chain(aside).map(|incoming| incoming.command.issued_at).min();
        let progress = &self.completer.applier.progress;
        progress.begin(size, oldest, self.completer.applier.clock.now());
        let done = self.process_batch(subscription, &mut sorted).await;
        progress.end(self.completer.applier.clock.now());
        done?;
        let aside = size - sorted.deliveries().len();
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (queue, dead) = (self.completer.queue, sorted.dead.len());
        info!(queue, batch = size, aside, dead, duration_ms, "batch applied");
        Ok(())
    }

    async fn finish(&self, unfinished: &Unfinished) {
        let ended = mem::replace(&mut *self.lanes(), lanes(self.limit));
        match unfinished {
            Unfinished::Stopped => ended.end().await,
            // The broker has returned the messages, and nobody receives the replies.
            Unfinished::Broken(_) => drop(ended),
        }
    }
}

//! Consumes events from the queue in batches of whatever is ready. Invalid events go to the dead-letter queue; while
//! Postgres is unavailable the messages stay unacknowledged.

use std::sync::Arc;
use std::time::Duration;

use amqp::dead::{self, Attempt};
use amqp::{self, Batch, Handle, Link, Publisher, Subscription, Unfinished, topology};
use database::Error;
use platform::retry::Delays;
use platform::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::addressed::Addressed;
use crate::apply;
use crate::intake::{self, Incoming};
use crate::shared_state::SharedState;
use crate::store::{received, roster};

/// The maximum number of events in one transaction.
const BATCH: u16 = 64;
/// Why an event with another routing key is not applied.
const MISROUTED: &str = "the routing key must be the event's type";
/// How often an event is tried if Postgres rejects it while accepting other writes.
const ATTEMPTS: u32 = 5;

/// Consumes events until stopped.
pub struct Consumer {
    shared: Arc<SharedState>,
    publisher: Arc<Publisher>,
    stop: CancellationToken,
}

/// The index of a message in its batch, and why it can never be processed.
type Dead = (usize, String);

impl Consumer {
    /// Creates a consumer.
    #[must_use]
    pub fn new(shared: Arc<SharedState>, publisher: Arc<Publisher>, stop: CancellationToken) -> Self {
        Self { shared, publisher, stop }
    }

    /// Consumes events until stopped.
    pub async fn run(self, link: Link) {
        amqp::consume(link, topology::NOTIFIER, BATCH, &self.stop, &self).await;
    }

    /// Applies events, retrying while Postgres is unavailable.
    async fn apply_with_retries(&self, events: &[(usize, Incoming)]) -> Result<Vec<Dead>, Unfinished> {
        let mut delays = Delays::reconnect();
        let mut waits = false;
        loop {
            match self.apply(events).await {
                Ok(dead) => {
                    if waits {
                        info!(events = events.len(), "applied the events that waited for Postgres");
                    }
                    return Ok(dead);
                }
                Err(error) => {
                    if !waits {
                        warn!(%error, events = events.len(), "events wait for Postgres");
                    }
                    waits = true;
                }
            }
            if !pause(&self.stop, delays.next_delay()).await {
                return Err(Unfinished::Stopped);
            }
        }
    }

    /// Applies events together, or one by one if Postgres rejects the batch. Returns those that can never be applied.
    async fn apply(&self, events: &[(usize, Incoming)]) -> Result<Vec<Dead>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (places, addressed, mut dead) = self.address(events).await?;
        let error = match apply::apply_new(&self.shared, &addressed).await {
            Ok(()) => return Ok(dead),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => error,
        };
        warn!(%error, events = addressed.len(), "failed to apply a batch of events: applying them one by one");
        for (place, event) in places.into_iter().zip(&addressed) {
            if let Some(reason) = self.apply_alone(event).await? {
                dead.push((place, reason));
            }
        }
        Ok(dead)
    }

    /// Resolves the events' tenants. Returns the events with a known tenant, their indexes, and the dead letters for
    /// the rest.
    async fn address(
        &self,
        events: &[(usize, Incoming)],
    ) -> Result<(Vec<usize>, Vec<Addressed>, Vec<Dead>), Error> {
        let mut names: Vec<&str> = events.iter().map(|(_, incoming)| incoming.tenant.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let tenants =
            self.shared.pool.bounded(async |connection| roster::tenants(connection, &names).await).await?;
        let (mut places, mut addressed, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        for (place, incoming) in events {
            match tenants.get(&incoming.tenant) {
                Some((tenant, links)) => match incoming.check(*links) {
                    Ok(()) => {
                        places.push(*place);
                        let (tenant, incoming) = (*tenant, incoming.clone());
                        addressed.push(Addressed { tenant, incoming, parked: None });
                    }
                    Err(reason) => dead.push((*place, reason)),
                },
                None => dead.push((*place, "unknown tenant".to_owned())),
            }
        }
        Ok((places, addressed, dead))
    }

    /// Applies one event. Returns the reason if it can never be applied.
    async fn apply_alone(&self, event: &Addressed) -> Result<Option<String>, Error> {
        let mut delays = Delays::new(Duration::from_millis(200), Duration::from_secs(2));
        let mut attempt = 1;
        loop {
            match apply::apply_new(&self.shared, std::slice::from_ref(event)).await {
                Ok(()) => return Ok(None),
                Err(error) if error.is_transient() => return Err(error),
                Err(error @ Error::Refused(_)) => return Ok(Some(error.to_string())),
                Err(error) => {
                    // An outage, a schema that is not migrated yet, or a full disk is not the event's fault. A failure
                    // counts only if another write succeeds.
                    let tenant = event.tenant;
                    self.shared
                        .pool
                        .bounded(async |connection| received::probe(connection, tenant).await)
                        .await?;
                    if attempt == ATTEMPTS {
                        return Ok(Some(error.to_string()));
                    }
                }
            }
            attempt += 1;
            delays.pause().await;
        }
    }

    /// Publishes dead letters and waits for the confirms; only then may the batch be acknowledged.
    async fn dead_letter(&self, batch: &Batch, dead: &[Dead]) -> Result<(), amqp::Error> {
        if dead.is_empty() {
            return Ok(());
        }
        let now = self.shared.clock.now();
        let letter = |(place, reason): &Dead| {
            let attempt = Attempt { at: now, worker: "notifier".to_owned(), what: reason.clone() };
            dead::letter(&batch[*place], topology::NOTIFIER, &[attempt])
        };
        let letters: Vec<_> = dead.iter().map(letter).collect();
        self.publisher.publish(&letters).await?;
        for (letter, (_, reason)) in letters.iter().zip(dead) {
            warn!(message.id = letter.shown_id(), reason, "sent an event to the dead-letter queue");
        }
        Ok(())
    }
}

impl Handle for Consumer {
    /// Applies a batch, sends its dead letters, and acknowledges it.
    async fn handle(&self, subscription: &Subscription, batch: Batch) -> Result<(), Unfinished> {
        let (mut events, mut dead, now) = (Vec::new(), Vec::new(), self.shared.clock.now());
        for (place, delivery) in batch.iter().enumerate() {
            match intake::read(&delivery.data, now) {
                // The broker lets a content service publish under `content.*` only: a message under such a key must not
                // be an event about a user.
                Ok(Some(incoming)) if !topology::is_routed_as(delivery, &incoming.event.kind) => {
                    dead.push((place, MISROUTED.to_owned()));
                }
                Ok(Some(incoming)) => events.push((place, incoming)),
                Ok(None) => {
                    debug!(
                        event.kind = delivery.routing_key.as_str(),
                        "ignored an event that is not for the notifier"
                    );
                }
                Err(reason) => dead.push((place, reason)),
            }
        }
        dead.extend(self.apply_with_retries(&events).await?);
        self.dead_letter(&batch, &dead).await?;
        Ok(subscription.ack(&batch).await?)
    }
}

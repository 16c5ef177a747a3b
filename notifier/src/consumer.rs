//! Taking events from the queue: whatever is ready, in batches. What can never be dealt with goes to the dead-letter
//! queue; while Postgres is away the messages are kept. Before it: RabbitMQ; after it: [`crate::apply`].

use std::sync::Arc;
use std::time::Duration;

use shared::amqp::dead::{self, Attempt};
use shared::amqp::{self, Batch, Handle, Link, Publisher, Subscription, Unfinished, topology};
use shared::postgres::Error;
use shared::retry::Delays;
use shared::shutdown::pause;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::apply::{self, Addressed};
use crate::intake::{self, Incoming};
use crate::office::Office;
use crate::store::{received, roster};

/// The most events in one transaction.
const BATCH: u16 = 64;
/// How often an event is tried that Postgres fails on, though it takes other writes.
const ATTEMPTS: u32 = 5;

/// Takes events until told to stop.
pub struct Consumer {
    office: Arc<Office>,
    publisher: Arc<Publisher>,
    stop: CancellationToken,
}

/// A message of a batch, by its place, that can never be dealt with, and why.
type Dead = (usize, String);

impl Consumer {
    /// A consumer for this office.
    #[must_use]
    pub fn new(office: Arc<Office>, publisher: Arc<Publisher>, stop: CancellationToken) -> Self {
        Self { office, publisher, stop }
    }

    /// Consumes until it is stopped.
    pub async fn run(self, link: Link) {
        amqp::consume(link, topology::NOTIFIER, BATCH, &self.stop, &self).await;
    }

    /// Takes events, for as long as it takes Postgres to be there.
    async fn take_patiently(&self, events: &[(usize, Incoming)]) -> Result<Vec<Dead>, Unfinished> {
        let mut delays = Delays::reconnect();
        let mut waits = false;
        loop {
            match self.take(events).await {
                Ok(dead) => {
                    if waits {
                        info!(events = events.len(), "took the events that waited");
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

    /// Takes events together; if Postgres refuses something, one by one. Returns those that can never be taken.
    async fn take(&self, events: &[(usize, Incoming)]) -> Result<Vec<Dead>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (places, addressed, mut dead) = self.address(events).await?;
        let error = match apply::take(&self.office, &addressed).await {
            Ok(()) => return Ok(dead),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => error,
        };
        warn!(%error, events = addressed.len(), "failed to take events together: taking them one by one");
        for (place, event) in places.into_iter().zip(&addressed) {
            if let Some(reason) = self.take_alone(event).await? {
                dead.push((place, reason));
            }
        }
        Ok(dead)
    }

    /// Finds the events' tenants. Returns the places of those that have one, these events, and those that have none.
    async fn address(
        &self,
        events: &[(usize, Incoming)],
    ) -> Result<(Vec<usize>, Vec<Addressed>, Vec<Dead>), Error> {
        let mut names: Vec<&str> = events.iter().map(|(_, incoming)| incoming.tenant.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let tenants =
            self.office.pool.bounded(async |connection| roster::tenants(connection, &names).await).await?;
        let (mut places, mut addressed, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        for (place, incoming) in events {
            match tenants.get(&incoming.tenant) {
                Some(&tenant) => {
                    places.push(*place);
                    addressed.push(Addressed { tenant, incoming: incoming.clone(), parked: None });
                }
                None => dead.push((*place, "the tenant is not known".to_owned())),
            }
        }
        Ok((places, addressed, dead))
    }

    /// Takes one event; returns why it can never be taken.
    async fn take_alone(&self, event: &Addressed) -> Result<Option<String>, Error> {
        let mut delays = Delays::new(Duration::from_millis(200), Duration::from_secs(2));
        let mut attempt = 1;
        loop {
            match apply::take(&self.office, std::slice::from_ref(event)).await {
                Ok(()) => return Ok(None),
                Err(error) if error.is_transient() => return Err(error),
                Err(error @ Error::Refused(_)) => return Ok(Some(error.to_string())),
                Err(error) => {
                    // An outage, a schema that is not there yet or a full disk are not the event's fault: only what
                    // fails while another write succeeds counts against it.
                    let tenant = event.tenant;
                    self.office
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

    /// Publishes dead letters, confirmed: only then may the batch be acknowledged.
    async fn bury(&self, batch: &Batch, dead: &[Dead]) -> Result<(), amqp::Error> {
        if dead.is_empty() {
            return Ok(());
        }
        let now = self.office.clock.now();
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
    /// Takes a batch, buries what is dead in it, acknowledges it.
    async fn handle(&self, subscription: &Subscription, batch: &Batch) -> Result<(), Unfinished> {
        let (mut events, mut dead) = (Vec::new(), Vec::new());
        for (place, delivery) in batch.iter().enumerate() {
            match intake::read(&delivery.data) {
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
        dead.extend(self.take_patiently(&events).await?);
        self.bury(batch, &dead).await?;
        Ok(subscription.ack(batch).await?)
    }
}

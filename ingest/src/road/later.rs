//! The road of a change whose verdict may come later (RFC 9967): what is promised is written down in `commands`, queued
//! for certain, and its outcome fetched from there.
//!
//! Before it: a handler whose client asked for `respond-async`. After it: the verdict if it came while the client waited,
//! else the ticket under which it can be asked for.

use std::sync::Arc;
use std::time::Duration;

use shared::amqp::{self, Message, topology};
use shared::command::Command;
use shared::outcome::Outcome;
use shared::retry::Delays;
use shared::ticket::Ticket;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument, Span, error, warn};

use super::{Client, Errand, JSON, Road, Unanswered, encode, end, settle};
use crate::http::observe::note;

/// What came of a request that may be answered later.
#[derive(Debug, Clone, PartialEq)]
pub enum Promise {
    /// The verdict came while the client waited.
    Kept(Outcome),
    /// It will come under this ticket.
    Made(Ticket),
}

impl Promise {
    fn name(&self) -> &'static str {
        match self {
            Self::Kept(outcome) => outcome.name(),
            Self::Made(_) => "promised",
        }
    }
}

impl Road {
    /// Takes a change into the queue, and waits for its verdict for so long. Without waiting it goes into the queue of
    /// what nobody waits for.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn promise(
        self: &Arc<Self>,
        wait: Duration,
        mut errand: Errand,
    ) -> Result<Promise, Unanswered> {
        let (mut client, reached) = oneshot::channel();
        let road = Arc::clone(self);
        let travel = async move {
            let _held = std::mem::take(&mut errand.held);
            let reached = road.make(wait.min(road.deadline), errand, &mut client).await;
            end(client, reached, Promise::name);
        };
        self.under_way.spawn(travel.instrument(Span::current()));
        reached.await.unwrap_or(Err(Unanswered::Broken("the task panicked")))
    }

    async fn make(
        &self,
        wait: Duration,
        errand: Errand,
        client: &mut Client<Promise>,
    ) -> Result<Promise, Unanswered> {
        let began = Instant::now();
        let until = began + self.deadline;
        let _turn = self.turn(errand.tenant, until, client).await?;
        let wait = wait.saturating_sub(began.elapsed());
        let left = until.saturating_duration_since(Instant::now());
        let command = Command { asynchronous: true, ..self.command(errand, left) };
        note("command", command.ticket);
        // Nothing needs to be written down while the broker is away.
        self.link.connection().map_err(Unanswered::NotQueued)?;
        settle::promise(&self.pool, &command).await.map_err(Unanswered::NotNoted)?;
        if wait.is_zero() {
            self.queue(&command, true).await?;
            return Ok(Promise::Made(command.ticket));
        }
        if let Some(outcome) = self.ask_for(wait, &command).await? {
            return Ok(Promise::Kept(outcome));
        }
        self.queue(&command, false).await?;
        Ok(Promise::Made(command.ticket))
    }

    /// The verdict, if it comes in time; if not, the command may be in the queue or not.
    async fn ask_for(&self, wait: Duration, command: &Command) -> Result<Option<Outcome>, Unanswered> {
        let (id, message) = (command.ticket.to_string(), encode(command)?);
        match timeout(wait, self.requester.ask(&id, JSON, message)).await {
            Ok(amqp::Answer::NotQueued(error)) => Err(self.take_back(command, error).await),
            Ok(amqp::Answer::Lost) | Err(_) => Ok(None),
            Ok(amqp::Answer::Reply(reply)) => {
                let verdict = serde_json::from_slice(&reply);
                Ok(verdict.map_err(|_| error!("a reply is no outcome; it can be asked for")).ok())
            }
        }
    }

    /// Puts the command into the queue of what nobody waits for, and makes sure of it. It may be there twice, or in the
    /// other queue too (then it is not new): its ticket lets it take effect once.
    async fn queue(&self, command: &Command, mut is_new: bool) -> Result<(), Unanswered> {
        let id = command.ticket.to_string();
        let message = Message::json("", topology::BULK, &id, JSON, encode(command)?);
        let until = Instant::now() + self.deadline;
        let mut delays = Delays::reconnect();
        loop {
            match self.publisher.publish(std::slice::from_ref(&message)).await {
                Ok(()) => return Ok(()),
                Err(error @ amqp::Error::Unavailable(_)) if Instant::now() < until => {
                    // It may be in the queue already: only another attempt tells.
                    is_new = false;
                    warn!(%error, "a promised command may not be queued, it is queued again");
                    sleep(delays.next_delay()).await;
                }
                Err(error) if is_new => return Err(self.take_back(command, error).await),
                Err(error) => {
                    warn!(%error, "a promised command may be queued or not, its client is asked to try again");
                    return Err(Unanswered::Late { is_queued: false });
                }
            }
        }
    }

    /// What is surely in no queue will have no outcome.
    async fn take_back(&self, command: &Command, cause: amqp::Error) -> Unanswered {
        if let Err(error) = settle::take_back(&self.pool, command).await {
            warn!(%error, "failed to take back a promise; its outcome will never come");
        }
        Unanswered::NotQueued(cause)
    }
}

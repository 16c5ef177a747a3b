//! Dispatches asynchronous requests (`Prefer: respond-async`, RFC 9967). The command is recorded in `commands` before
//! it is queued. The caller gets the verdict if it arrives within the client's wait, else the ticket to fetch it by.

use std::sync::Arc;
use std::time::Duration;

use amqp::{self, Message, topology};
use database::Pool;
use domain::command::Command;
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use platform::retry::Delays;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument, Span, error, warn};

use super::backlog::Bounds;
use super::{ChangeRequest, Client, Dispatcher, JSON, Unanswered, deadline, encode, end};
use crate::http::observe::note;

/// The result of an asynchronous request.
#[derive(Debug, Clone, PartialEq)]
pub enum AsyncResponse {
    /// The verdict, which arrived while the client waited.
    Completed(Outcome),
    /// The ticket by which the verdict can be fetched later.
    Accepted(Ticket),
}

impl AsyncResponse {
    fn name(&self) -> &'static str {
        match self {
            Self::Completed(outcome) => outcome.name(),
            Self::Accepted(_) => "accepted",
        }
    }
}

/// See [`Dispatcher::submit_async`].
pub(super) async fn submit(
    dispatcher: &Arc<Dispatcher>,
    wait: Duration,
    mut change_request: ChangeRequest,
    bounds: Bounds,
) -> Result<AsyncResponse, Unanswered> {
    let (mut client, reached) = oneshot::channel();
    let own = Arc::clone(dispatcher);
    let task = async move {
        let _held = std::mem::take(&mut change_request.held);
        let reached = run(&own, wait.min(own.deadline), change_request, bounds, &mut client).await;
        end(client, reached, AsyncResponse::name);
    };
    dispatcher.under_way.spawn(task.instrument(Span::current()));
    reached.await.unwrap_or(Err(Unanswered::Broken("the task panicked")))
}

async fn run(
    dispatcher: &Dispatcher,
    wait: Duration,
    change_request: ChangeRequest,
    bounds: Bounds,
    client: &mut Client<AsyncResponse>,
) -> Result<AsyncResponse, Unanswered> {
    let began = Instant::now();
    let until = began + dispatcher.deadline;
    let _permit = dispatcher.acquire_permit(change_request.tenant, until, client).await?;
    let wait = wait.saturating_sub(began.elapsed());
    let left = until.saturating_duration_since(Instant::now());
    let command = Command { asynchronous: true, ..dispatcher.command(change_request, left) };
    note("command", command.ticket);
    // Record nothing while the broker is unavailable.
    dispatcher.link.connection().map_err(Unanswered::NotQueued)?;
    dispatcher.backlog.admit(&dispatcher.pool, &command, encode(&command)?.len(), bounds).await?;
    let reached = record_and_queue(dispatcher, wait, &command).await;
    if !matches!(reached, Ok(AsyncResponse::Accepted(_)) | Err(Unanswered::Late { .. })) {
        dispatcher.backlog.forget(&command);
    }
    reached
}

async fn record_and_queue(
    dispatcher: &Dispatcher,
    wait: Duration,
    command: &Command,
) -> Result<AsyncResponse, Unanswered> {
    deadline::record_queued(&dispatcher.pool, command).await.map_err(Unanswered::NotRecorded)?;
    if wait.is_zero() {
        queue(dispatcher, command, true).await?;
        return Ok(AsyncResponse::Accepted(command.ticket));
    }
    if let Some(outcome) = ask(dispatcher, wait, command).await? {
        return Ok(AsyncResponse::Completed(outcome));
    }
    queue(dispatcher, command, false).await?;
    Ok(AsyncResponse::Accepted(command.ticket))
}

/// The verdict, if it arrives in time. If not, the command may be queued or not.
async fn ask(
    dispatcher: &Dispatcher,
    wait: Duration,
    command: &Command,
) -> Result<Option<Outcome>, Unanswered> {
    let (id, message) = (command.ticket.to_string(), encode(command)?);
    match timeout(wait, dispatcher.requester.ask(&id, JSON, message)).await {
        Ok(amqp::RequestResult::NotQueued(error)) => Err(take_back(&dispatcher.pool, command, error).await),
        Ok(amqp::RequestResult::Lost) | Err(_) => Ok(None),
        Ok(amqp::RequestResult::Reply(reply)) => {
            let verdict = serde_json::from_slice(&reply);
            Ok(verdict
                .map_err(|_| {
                    error!("failed to parse a reply as an outcome; the client can fetch the stored one");
                })
                .ok())
        }
    }
}

/// Publishes the command to the bulk queue, with retries until the broker confirms it. The command may be queued twice,
/// or be in the other queue too (`is_new` is false then); it is deduplicated by its ticket.
async fn queue(dispatcher: &Dispatcher, command: &Command, mut is_new: bool) -> Result<(), Unanswered> {
    let id = command.ticket.to_string();
    let message = Message::json("", topology::BULK, &id, JSON, encode(command)?);
    let until = Instant::now() + dispatcher.deadline;
    let mut delays = Delays::reconnect();
    loop {
        match dispatcher.publisher.publish(std::slice::from_ref(&message)).await {
            Ok(()) => return Ok(()),
            Err(error @ amqp::Error::Unavailable(_)) if Instant::now() < until => {
                // The message may be queued already; only a confirmed attempt is certain.
                is_new = false;
                warn!(%error, "failed to confirm an asynchronous command; publishing it again");
                sleep(delays.next_delay()).await;
            }
            Err(error) if is_new => return Err(take_back(&dispatcher.pool, command, error).await),
            Err(error) => {
                warn!(%error, "an asynchronous command may be queued or not; its client must try again");
                return Err(Unanswered::Late { is_queued: false });
            }
        }
    }
}

/// Deletes the record of a command that is certainly in no queue.
async fn take_back(pool: &Pool, command: &Command, cause: amqp::Error) -> Unanswered {
    if let Err(error) = deadline::take_back(pool, command).await {
        warn!(%error, "failed to delete the record of a command that was not queued; it stays pending");
    }
    Unanswered::NotQueued(cause)
}

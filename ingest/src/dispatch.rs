//! Dispatches changes: publishes the command and waits for the worker's verdict. At the deadline, Postgres settles
//! whether the verdict or the deadline came first. Each dispatch is a task of its own, so it is finished even if the
//! client disconnects.

mod asynchronous;
mod backlog;
mod clocks;
mod deadline;
mod receipts;
mod unanswered;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amqp::{self, Link, Publisher, Requester, topology};
use database::{self, Pool, verdicts};
use domain::command::{Actor, Change, Command, Fingerprint, IfMatch};
use domain::outcome::Outcome;
use domain::settings::Limits;
use domain::ticket::{Ticket, TicketClock};
use platform::clock::Clock;
use platform::health::Health;
use platform::retry::Delays;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, error, warn};
use uuid::Uuid;

use crate::admission::Held;
use crate::http::observe::note;
use crate::keyed_semaphore::{KeyedPermit, KeyedSemaphore};
use backlog::{Backlog, Bounds};
use clocks::Clocks;
use receipts::Receipts;

pub use asynchronous::AsyncResponse;
pub use unanswered::Unanswered;

/// The maximum number of changes of one tenant in flight; further ones wait in order. It is half a worker's batch: few
/// enough to keep the queue short for other tenants, and enough for the tenant's throughput (24 cost a fifth of it).
const AT_ONCE: usize = 64;
/// The minimum time that a change must have left when it gets its permit.
const LEAST: Duration = Duration::from_secs(5);

/// The attempts to record that verdicts were not received.
const RECORD_ATTEMPTS: usize = 5;

/// How long shutdown waits for dispatches that no client waits for.
const FINISH: Duration = Duration::from_secs(5);

/// The content type of a command message.
const JSON: &str = "application/json";

/// A change request.
#[derive(Debug)]
pub struct ChangeRequest {
    /// The tenant.
    pub tenant: Uuid,
    /// The actor that requests the change.
    pub actor: Actor,
    /// The request's id.
    pub request: Uuid,
    /// The idempotency key: the same for a repeated request.
    pub fingerprint: Fingerprint,
    /// The resource's id; for a create, the id it will get.
    pub resource: Uuid,
    /// The versions that `If-Match` allows.
    pub if_match: Option<IfMatch>,
    /// The change.
    pub change: Change,
    /// The request's permits, held until the dispatch ends.
    pub held: Held,
}

/// The waiting handler. The channel is closed when its client disconnects.
type Client<T> = oneshot::Sender<Result<T, Unanswered>>;

/// Dispatches changes to the workers.
pub struct Dispatcher {
    link: Link,
    requester: Requester,
    publisher: Publisher,
    pool: Pool,
    clock: Clock,
    tickets: TicketClock,
    clocks: Clocks,
    deadline: Duration,
    permits: KeyedSemaphore<Uuid>,
    backlog: Backlog,
    receipts: Arc<Receipts>,
    under_way: TaskTracker,
}

impl Dispatcher {
    /// Dispatches over this link, with `deadline` as the limit of each request. Must be called within a Tokio runtime.
    #[must_use]
    pub fn new(link: Link, pool: Pool, clock: Clock, deadline: Duration) -> Self {
        Self {
            requester: Requester::new(link.clone(), topology::COMMANDS),
            publisher: Publisher::new(link.clone()),
            receipts: Receipts::start(pool.clone()),
            link,
            pool,
            tickets: TicketClock::new(clock.clone()),
            clocks: Clocks::default(),
            clock,
            deadline,
            permits: KeyedSemaphore::new(AT_ONCE),
            backlog: Backlog::default(),
            under_way: TaskTracker::new(),
        }
    }

    /// The deadline of a request.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Dispatches a change and returns its verdict, which is never [`Outcome::Stale`].
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn submit(self: &Arc<Self>, change_request: ChangeRequest) -> Result<Outcome, Unanswered> {
        self.submit_within(self.deadline, change_request).await.map(|(_, outcome)| outcome)
    }

    /// As [`Dispatcher::submit`], with a timeout shorter than the deadline. Also returns the ticket of the verdict.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn submit_within(
        self: &Arc<Self>,
        time_limit: Duration,
        mut change_request: ChangeRequest,
    ) -> Result<(Ticket, Outcome), Unanswered> {
        let (mut client, verdict) = oneshot::channel();
        let dispatcher = Arc::clone(self);
        let submit = async move {
            let _held = std::mem::take(&mut change_request.held);
            let reached = dispatcher.run(change_request, time_limit, &mut client).await;
            let made = match &reached {
                Ok((ticket, Outcome::Created { .. })) => Some(*ticket),
                _ => None,
            };
            let is_delivered = end(client, reached, |(_, outcome)| outcome.name());
            if let Some(ticket) = made.filter(|_| is_delivered) {
                dispatcher.receipts.note(ticket);
            }
        };
        self.under_way.spawn(submit.instrument(Span::current()));
        verdict.await.unwrap_or(Err(Unanswered::Broken("the task panicked")))
    }

    /// Queues a change and waits for its verdict for up to `wait`. If `wait` is zero, the command goes to the bulk
    /// queue. `limits` bound what the tenant has queued.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn submit_async(
        self: &Arc<Self>,
        wait: Duration,
        change_request: ChangeRequest,
        limits: &Limits,
    ) -> Result<AsyncResponse, Unanswered> {
        asynchronous::submit(self, wait, change_request, Bounds::of(limits)).await
    }

    /// Reports clock skew between this machine and the other services to `health` until `stop`.
    pub async fn watch_clocks(self: Arc<Self>, health: Health, stop: CancellationToken) {
        self.clocks.watch(&self.tickets, &health, &stop).await;
    }

    /// Marks these verdicts as undelivered, for a repeated request: the client disconnected before it received them.
    pub async fn mark_undelivered(&self, tickets: &[Ticket]) {
        let mut delays = Delays::reconnect();
        for _ in 0..RECORD_ATTEMPTS {
            let left = self.pool.bounded(async |c| verdicts::mark_undelivered(c, tickets).await).await;
            if left.is_ok() {
                return;
            }
            delays.pause().await;
        }
        warn!(commands = tickets.len(), "failed to leave unreceived verdicts for a repeated request");
    }

    /// Waits for the dispatches in progress, within bounds. No new ones may start.
    pub async fn finish(&self) {
        self.under_way.close();
        if timeout(FINISH, self.under_way.wait()).await.is_err() {
            warn!(dispatches = self.under_way.len(), "stopped before all commands had their verdict");
        }
        self.receipts.finish().await;
    }

    /// Also returns the ticket of the verdict: a stale command is sent again with a new ticket.
    async fn run(
        &self,
        change_request: ChangeRequest,
        time_limit: Duration,
        client: &mut Client<(Ticket, Outcome)>,
    ) -> Result<(Ticket, Outcome), Unanswered> {
        let time_limit = time_limit.min(self.deadline);
        let until = Instant::now() + time_limit;
        let _permit = self.acquire_permit(change_request.tenant, until, client).await?;
        // Issue the ticket only now, so that tickets are in queue order.
        let mut command = self.command(change_request, until.saturating_duration_since(Instant::now()));
        let is_queued = AtomicBool::new(false);
        loop {
            note("command", command.ticket);
            let verdict = match self.ask(&command, until, &is_queued).await? {
                Some(verdict) => Some(verdict),
                None => self.expire_or_deliver(&command, client).await,
            };
            match verdict {
                Some(Outcome::Stale { ticket }) if Instant::now() < until && !client.is_closed() => {
                    // To the client the two changes were concurrent, so either order is correct.
                    self.clocks.follow(&self.tickets, ticket).map_err(Unanswered::Unordered)?;
                    command.ticket = self.tickets.issue();
                    is_queued.store(false, Ordering::Relaxed);
                }
                Some(Outcome::Stale { .. }) => return Err(Unanswered::Overtaken),
                Some(verdict) => return Ok((command.ticket, verdict)),
                None => return Err(Unanswered::Late { is_queued: is_queued.into_inner() }),
            }
        }
    }

    /// Waits for the tenant's semaphore. Gives up when too little time is left for the change, or when the client
    /// disconnects.
    async fn acquire_permit<T>(
        &self,
        tenant: Uuid,
        until: Instant,
        client: &mut Client<T>,
    ) -> Result<KeyedPermit, Unanswered> {
        let time = until.saturating_duration_since(Instant::now());
        let latest = until - LEAST.min(time * 3 / 4);
        tokio::select! {
            biased;
            permit = self.permits.acquire(tenant) => Ok(permit),
            () = client.closed() => Err(Unanswered::NotStarted),
            () = sleep_until(latest) => Err(Unanswered::NotStarted),
        }
    }

    fn command(&self, change_request: ChangeRequest, time_limit: Duration) -> Command {
        let ticket = self.tickets.issue();
        let issued_at = self.clock.now();
        let ChangeRequest { tenant, actor, request, fingerprint, resource, if_match, change, held: _ } =
            change_request;
        Command {
            version: actor.version().max(change.version()),
            ticket,
            tenant,
            actor,
            request,
            fingerprint,
            issued_at,
            deadline: issued_at + time_limit,
            resource,
            if_match,
            asynchronous: false,
            change,
        }
    }

    /// The verdict from the worker's reply, or from Postgres if the reply is lost; `None` at the deadline.
    async fn ask(
        &self,
        command: &Command,
        until: Instant,
        is_queued: &AtomicBool,
    ) -> Result<Option<Outcome>, Unanswered> {
        let message = encode(command)?;
        let id = command.ticket.to_string();
        let asked = self.requester.ask_noting_confirm(&id, JSON, message, is_queued);
        match timeout_at(until, asked).await {
            Err(_) => Ok(None),
            Ok(amqp::RequestResult::NotQueued(error)) => Err(Unanswered::NotQueued(error)),
            Ok(amqp::RequestResult::Lost) => Ok(self.search(command, until).await),
            Ok(amqp::RequestResult::Reply(reply)) => match serde_json::from_slice(&reply) {
                Ok(verdict) => Ok(Some(verdict)),
                Err(_) => {
                    error!("failed to parse a reply as an outcome; reading the stored one");
                    Ok(self.search(command, until).await)
                }
            },
        }
    }

    /// Polls for the stored verdict until the deadline.
    async fn search(&self, command: &Command, until: Instant) -> Option<Outcome> {
        let mut delays = Delays::new(Duration::from_millis(50), Duration::from_secs(1));
        while Instant::now() < until {
            match deadline::deliver(&self.pool, command, until).await {
                Ok(Some(verdict)) => return Some(verdict),
                Ok(None) => {}
                Err(error) => warn!(%error, "failed to read the verdict of a command"),
            }
            sleep_until(until.min(Instant::now() + delays.next_delay())).await;
        }
        None
    }

    /// Settles whether the deadline or the worker came first. Returns the verdict if it was the worker.
    async fn expire_or_deliver(
        &self,
        command: &Command,
        client: &Client<(Ticket, Outcome)>,
    ) -> Option<Outcome> {
        let result: Result<_, database::Error> = async {
            if deadline::expire(&self.pool, command).await? || client.is_closed() {
                // Either the worker finds the row, or the verdict stays undelivered for a repeated request.
                return Ok(None);
            }
            deadline::deliver(&self.pool, command, deadline::bound()).await
        }
        .await;
        result.unwrap_or_else(|error| {
            // The worker goes by its clock then. A verdict reached in time but not received is left undelivered later.
            warn!(%error, "failed to settle a command at its deadline");
            let later = deadline::expire_later(self.pool.clone(), command);
            self.under_way.spawn(later.instrument(Span::current()));
            None
        })
    }
}

fn encode(command: &Command) -> Result<Vec<u8>, Unanswered> {
    serde_json::to_vec(command).map_err(|_| Unanswered::Broken("failed to serialize a command"))
}

/// Records how the dispatch ended and sends the result to the client. Returns whether the client received it.
fn end<T>(client: Client<T>, reached: Result<T, Unanswered>, name: impl Fn(&T) -> &'static str) -> bool {
    let name = match &reached {
        Ok(reached) => name(reached),
        Err(Unanswered::NotQueued(_)) => "not queued",
        Err(Unanswered::NotRecorded(_)) => "not recorded",
        Err(Unanswered::Full(_)) => "too many queued",
        Err(Unanswered::NotStarted) => "not started",
        Err(Unanswered::Late { .. }) => "late",
        Err(Unanswered::Overtaken) => "overtaken",
        Err(Unanswered::Unordered(_)) => "unordered",
        Err(Unanswered::Broken(_)) => "broken",
    };
    note("outcome", name);
    // Fails if the client has disconnected. The command is finished nevertheless.
    client.send(reached).is_ok()
}

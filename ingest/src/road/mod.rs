//! The road of a change: to the queue, to a worker, and back with the outcome; or "try again", settled in Postgres.
//!
//! Before it: a handler with a valid change. After it: the answer. The road is travelled in a task of its own: a client
//! that hangs up does not keep it from being settled.

mod clocks;
mod later;
mod settle;
mod told;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::amqp::{self, Link, Publisher, Requester, topology};
use shared::clock::Clock;
use shared::command::{Actor, Change, Command, Fingerprint, IfMatch};
use shared::health::Health;
use shared::outcome::Outcome;
use shared::postgres::{self, Pool, verdicts};
use shared::retry::Delays;
use shared::ticket::{Ticket, TicketClock, TooFarAhead};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, error, warn};
use uuid::Uuid;

use crate::gate::Held;
use crate::http::answer::Refusal;
use crate::http::observe::note;
use crate::turns::{Turn, Turns};
use clocks::Clocks;
use told::Told;

pub use later::Promise;

/// The most changes of one tenant that are under way at a time; further ones wait in order. It is a worker's batch, so that
/// it costs no speed; but the queue stays short for everybody else.
const AT_ONCE: usize = 128;
/// What a change needs of its time at the least, once it is its turn.
const LEAST: Duration = Duration::from_secs(5);

/// How often it is tried to note that verdicts were not heard.
const UNHEARD_TRIES: usize = 5;

/// How long stopping waits for roads that no client waits for any more.
const FINISH: Duration = Duration::from_secs(5);

/// What a message with a command calls itself.
const JSON: &str = "application/json";

/// A change that somebody asks for.
#[derive(Debug)]
pub struct Errand {
    /// Whose roster.
    pub tenant: Uuid,
    /// Who asks.
    pub actor: Actor,
    /// The request's id.
    pub request: Uuid,
    /// The same for the same request.
    pub fingerprint: Fingerprint,
    /// The resource; for a create the id that it will have.
    pub resource: Uuid,
    /// The versions that may be changed.
    pub if_match: Option<IfMatch>,
    /// What to do.
    pub change: Change,
    /// What the request holds until the end of the road.
    pub held: Held,
}

/// Why there is no verdict to answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It did not get into the queue.
    #[error("the command was not queued: {0}")]
    NotQueued(amqp::Error),
    /// Its turn did not come in time.
    #[error("the changes before it took too long")]
    NotBegun,
    /// The deadline was first.
    #[error("there was no verdict by the deadline")]
    Late {
        /// Whether the broker has confirmed it: then it will have a verdict.
        is_queued: bool,
    },
    /// It could not be written down that its outcome will be asked for.
    #[error("the promise could not be written down: {0}")]
    NotNoted(postgres::Error),
    /// A later change was applied first, and nobody waits for another attempt.
    #[error("a later change was applied first")]
    Overtaken,
    /// The resource was changed by a service whose clock is too far from this one's to agree on an order.
    #[error("the last change of the resource has a ticket that cannot be followed: {0}")]
    Unordered(TooFarAhead),
    /// A bug.
    #[error("the road broke: {0}")]
    Broken(&'static str),
}

impl From<Unanswered> for Refusal {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotQueued(error) => Self::not_queued(&error),
            Unanswered::NotNoted(error) => Self::not_noted(&error),
            Unanswered::NotBegun => Self::try_again(
                "other changes of this tenant took too long: nothing was queued and nothing was changed; try again",
            ),
            Unanswered::Late { is_queued: true } => Self::try_again(
                "the change is queued but was not applied in time; send the same request again to learn its outcome",
            ),
            Unanswered::Late { is_queued: false } => Self::try_again(
                "the change may be queued or not, and was not applied in time; send the same request again to learn its outcome",
            ),
            Unanswered::Overtaken => Self::try_again(
                "another change of the same resource was applied first and this one was not; try again",
            ),
            Unanswered::Unordered(_) => Self::try_again(
                "the last change of the resource is dated ahead of this server's clock: nothing was changed; try again",
            ),
            Unanswered::Broken(cause) => Self::bug(cause),
        }
    }
}

/// Whoever waits for the end of the road: the handler, which is gone when its client hangs up.
type Client<T> = oneshot::Sender<Result<T, Unanswered>>;

/// The road.
pub struct Road {
    link: Link,
    requester: Requester,
    publisher: Publisher,
    pool: Pool,
    clock: Clock,
    tickets: TicketClock,
    clocks: Clocks,
    deadline: Duration,
    turns: Turns<Uuid>,
    told: Arc<Told>,
    under_way: TaskTracker,
}

impl Road {
    /// A road over this link, on which an answer may take as long as `deadline`. Call within a runtime.
    #[must_use]
    pub fn new(link: Link, pool: Pool, clock: Clock, deadline: Duration) -> Self {
        Self {
            requester: Requester::new(link.clone(), topology::COMMANDS),
            publisher: Publisher::new(link.clone()),
            told: Told::start(pool.clone()),
            link,
            pool,
            tickets: TicketClock::new(clock.clone()),
            clocks: Clocks::default(),
            clock,
            deadline,
            turns: Turns::new(AT_ONCE),
            under_way: TaskTracker::new(),
        }
    }

    /// How long an answer may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Takes a change to its verdict, which is never [`Outcome::Stale`].
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn travel(self: &Arc<Self>, errand: Errand) -> Result<Outcome, Unanswered> {
        self.travel_within(self.deadline, errand).await.map(|(_, outcome)| outcome)
    }

    /// The same for a client that is less patient than the deadline, with the ticket that has the verdict.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn travel_within(
        self: &Arc<Self>,
        patience: Duration,
        mut errand: Errand,
    ) -> Result<(Ticket, Outcome), Unanswered> {
        let (mut client, verdict) = oneshot::channel();
        let road = Arc::clone(self);
        let travel = async move {
            let _held = std::mem::take(&mut errand.held);
            let reached = road.run(errand, patience, &mut client).await;
            let made = match &reached {
                Ok((ticket, Outcome::Created { .. })) => Some(*ticket),
                _ => None,
            };
            let is_told = end(client, reached, |(_, outcome)| outcome.name());
            if let Some(ticket) = made.filter(|_| is_told) {
                road.told.note(ticket);
            }
        };
        self.under_way.spawn(travel.instrument(Span::current()));
        verdict.await.unwrap_or(Err(Unanswered::Broken("the task panicked")))
    }

    /// Keeps `health` true to whether this machine's clock and those of the other services are too far apart, until `stop`.
    pub async fn watch_clocks(self: Arc<Self>, health: Health, stop: CancellationToken) {
        self.clocks.watch(&self.tickets, &health, &stop).await;
    }

    /// Leaves these verdicts for a repeated request: the client hung up before it could be told them together.
    pub async fn leave_unheard(&self, tickets: &[Ticket]) {
        let mut delays = Delays::reconnect();
        for _ in 0..UNHEARD_TRIES {
            let left = self.pool.bounded(async |c| verdicts::unclaim(c, tickets).await).await;
            if left.is_ok() {
                return;
            }
            delays.pause().await;
        }
        warn!(
            commands = tickets.len(),
            "verdicts that nobody heard could not be left for a repeated request"
        );
    }

    /// Waits, within bounds, for the roads that are still under way. No new ones may begin.
    pub async fn finish(&self) {
        self.under_way.close();
        if timeout(FINISH, self.under_way.wait()).await.is_err() {
            warn!(roads = self.under_way.len(), "stopped before all commands had their verdict");
        }
        self.told.finish().await;
    }

    /// Says with the verdict which command it is about: a stale one is sent again under another ticket.
    async fn run(
        &self,
        errand: Errand,
        patience: Duration,
        client: &mut Client<(Ticket, Outcome)>,
    ) -> Result<(Ticket, Outcome), Unanswered> {
        let patience = patience.min(self.deadline);
        let until = Instant::now() + patience;
        let _turn = self.turn(errand.tenant, until, client).await?;
        // Stamped only now: tickets are in the order of the queue.
        let mut command = self.command(errand, until.saturating_duration_since(Instant::now()));
        let is_queued = AtomicBool::new(false);
        loop {
            note("command", command.ticket);
            let verdict = match self.ask(&command, until, &is_queued).await? {
                Some(verdict) => Some(verdict),
                None => self.settle(&command, client).await,
            };
            match verdict {
                Some(Outcome::Stale { ticket }) if Instant::now() < until && !client.is_closed() => {
                    // To the client the two changes were concurrent: either order is right.
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

    /// Waits for the tenant's turn, but not so long that the change could not be made any more, and not for a client that
    /// hung up.
    async fn turn<T>(
        &self,
        tenant: Uuid,
        until: Instant,
        client: &mut Client<T>,
    ) -> Result<Turn, Unanswered> {
        let time = until.saturating_duration_since(Instant::now());
        let latest = until - LEAST.min(time * 3 / 4);
        tokio::select! {
            biased;
            turn = self.turns.turn(tenant) => Ok(turn),
            () = client.closed() => Err(Unanswered::NotBegun),
            () = sleep_until(latest) => Err(Unanswered::NotBegun),
        }
    }

    fn command(&self, errand: Errand, patience: Duration) -> Command {
        let ticket = self.tickets.issue();
        let issued_at = self.clock.now();
        let Errand { tenant, actor, request, fingerprint, resource, if_match, change, held: _ } = errand;
        Command {
            version: actor.version().max(change.version()),
            ticket,
            tenant,
            actor,
            request,
            fingerprint,
            issued_at,
            deadline: issued_at + patience,
            resource,
            if_match,
            asynchronous: false,
            change,
        }
    }

    /// The verdict as the worker replies it, or as it stands in Postgres if the reply is lost; `None` at the deadline.
    async fn ask(
        &self,
        command: &Command,
        until: Instant,
        is_queued: &AtomicBool,
    ) -> Result<Option<Outcome>, Unanswered> {
        let message = encode(command)?;
        let id = command.ticket.to_string();
        let asked = self.requester.ask_and_tell(&id, JSON, message, is_queued);
        match timeout_at(until, asked).await {
            Err(_) => Ok(None),
            Ok(amqp::Answer::NotQueued(error)) => Err(Unanswered::NotQueued(error)),
            Ok(amqp::Answer::Lost) => Ok(self.search(command, until).await),
            Ok(amqp::Answer::Reply(reply)) => match serde_json::from_slice(&reply) {
                Ok(verdict) => Ok(Some(verdict)),
                Err(_) => {
                    error!("a reply is no outcome; looking for the one that was stored");
                    Ok(self.search(command, until).await)
                }
            },
        }
    }

    /// Looks for the stored verdict until the deadline.
    async fn search(&self, command: &Command, until: Instant) -> Option<Outcome> {
        let mut delays = Delays::new(Duration::from_millis(50), Duration::from_secs(1));
        while Instant::now() < until {
            match settle::claim(&self.pool, command, until).await {
                Ok(Some(verdict)) => return Some(verdict),
                Ok(None) => {}
                Err(error) => warn!(%error, "failed to look for the verdict of a command"),
            }
            sleep_until(until.min(Instant::now() + delays.next_delay())).await;
        }
        None
    }

    /// Who was first, the deadline or the worker: the verdict if it was the worker.
    async fn settle(&self, command: &Command, client: &Client<(Ticket, Outcome)>) -> Option<Outcome> {
        let settled: Result<_, postgres::Error> = async {
            if settle::abandon(&self.pool, command).await? || client.is_closed() {
                // Either the worker finds the mark, or a verdict stays unclaimed for the repeated request.
                return Ok(None);
            }
            settle::claim(&self.pool, command, settle::bound()).await
        }
        .await;
        settled.unwrap_or_else(|error| {
            // The worker goes by the clock then; what it decided in time, and nobody heard, is settled as soon as can be.
            warn!(%error, "failed to settle a command at its deadline");
            let later = settle::settle_later(self.pool.clone(), command);
            self.under_way.spawn(later.instrument(Span::current()));
            None
        })
    }
}

fn encode(command: &Command) -> Result<Vec<u8>, Unanswered> {
    serde_json::to_vec(command).map_err(|_| Unanswered::Broken("a command cannot be written as JSON"))
}

/// Notes where the road ended, and tells whoever waits. Says whether anybody did.
fn end<T>(client: Client<T>, reached: Result<T, Unanswered>, name: impl Fn(&T) -> &'static str) -> bool {
    let name = match &reached {
        Ok(reached) => name(reached),
        Err(Unanswered::NotQueued(_)) => "not queued",
        Err(Unanswered::NotNoted(_)) => "not noted",
        Err(Unanswered::NotBegun) => "not begun",
        Err(Unanswered::Late { .. }) => "late",
        Err(Unanswered::Overtaken) => "overtaken",
        Err(Unanswered::Unordered(_)) => "unordered",
        Err(Unanswered::Broken(_)) => "broken",
    };
    note("outcome", name);
    // Fails if the client has hung up: all is settled, and nobody to be told.
    client.send(reached).is_ok()
}

//! Sends commands to the workers on behalf of the operator, and waits for their outcomes.

use amqp::{RequestResult, Requester};
use database::tenants::Tenant;
use database::verdicts;
use domain::command::{Actor, Change, Command, Fingerprint};
use domain::outcome::Outcome;
use domain::ticket::TicketClock;
use platform::retry::Delays;
use uuid::Uuid;

use crate::{Error, Operator};

/// How often a stale command is sent again with a later ticket.
const OVERTAKEN: usize = 3;

/// A command that changes a user on behalf of the operator.
pub fn command(
    operator: &Operator,
    tenant: &Tenant,
    resource: Uuid,
    call: &str,
    body: &[u8],
    change: Change,
) -> Command {
    let (request, issued_at) = (platform::id::new(), operator.clock.now());
    // Contains the request id: running the same command again is a new change.
    let fingerprint = Fingerprint::of(tenant.id, call, &request.to_string(), body, None);
    Command {
        version: Actor::Operator.version(),
        ticket: TicketClock::new(operator.clock.clone()).issue(),
        tenant: tenant.id,
        actor: Actor::Operator,
        request,
        fingerprint,
        issued_at,
        deadline: issued_at + operator.deadline,
        resource,
        if_match: None,
        asynchronous: false,
        change,
    }
}

/// A connection that sends commands to the workers.
pub struct Asking(Requester);

impl Asking {
    /// Connects to this queue.
    pub async fn start(operator: &Operator, queue: &'static str) -> Result<Self, Error> {
        Ok(Self(Requester::new(operator.link().await?, queue)))
    }

    /// Sends a command and returns its outcome. A stale one is sent again with a later ticket, since the changes were
    /// concurrent.
    pub async fn ask(&self, operator: &Operator, command: &Command) -> Result<Outcome, Error> {
        let tickets = TicketClock::new(operator.clock.clone());
        let mut command = command.clone();
        for _ in 0..OVERTAKEN {
            match self.ask_once(operator, &command).await? {
                Outcome::Stale { ticket } => tickets.observe(ticket).map_err(|error| {
                    Error::Refused(format!(
                        "nothing was changed: the user's last change came from a service whose clock is ahead of this one ({error}); synchronize the clocks"
                    ))
                })?,
                outcome => return Ok(outcome),
            }
            command.ticket = tickets.issue();
            command.issued_at = operator.clock.now();
            command.deadline = command.issued_at + operator.deadline;
        }
        self.ask_once(operator, &command).await
    }

    async fn ask_once(&self, operator: &Operator, command: &Command) -> Result<Outcome, Error> {
        let body = serde_json::to_vec(command).expect("a command is made of strings, numbers and JSON");
        let outcome = async {
            match self.0.ask(&command.ticket.to_string(), "application/json", body).await {
                RequestResult::Reply(reply) => serde_json::from_slice(&reply).map_err(|_| {
                    Error::Refused(
                        "cannot parse the worker's reply; check that all versions match".to_owned(),
                    )
                }),
                RequestResult::NotQueued(error) => Err(error.into()),
                RequestResult::Lost => read_verdict(operator, command).await,
            }
        };
        let late = |_| {
            Err(Error::Late(format!(
                "no worker answered within {} s; the change is queued as command {} and will be applied",
                operator.deadline.as_secs(),
                command.ticket
            )))
        };
        tokio::time::timeout(operator.deadline, outcome).await.unwrap_or_else(late)
    }
}

async fn read_verdict(operator: &Operator, command: &Command) -> Result<Outcome, Error> {
    let mut delays = Delays::reconnect();
    loop {
        let found =
            operator.pool.bounded(async |connection| verdicts::find(connection, command.ticket).await).await;
        if let Ok(Some(outcome)) = found {
            return Ok(outcome);
        }
        delays.pause().await;
    }
}

//! The model: clients, three ingests, a queue, workers, and the database.

use domain::command::{Actor, Change, Command, Fingerprint, VERSION};
use domain::outcome::{Outcome, REPEATABLE_FOR};
use domain::ticket::{Ticket, TicketClock};
use platform::clock::Clock;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use scim::{Displays, Group, Resource, ResourceType};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use worker::fold::{Decision, decide, is_late};

use crate::database::Database;
use crate::history::{Answer, Call, Op, Thing};

pub const TENANT: Uuid = Uuid::from_u128(0xacce);
pub const ADA: Uuid = Uuid::from_u128(0xada);
const CLIENTS: usize = 3;
const CALLS_EACH: usize = 4;
const STEPS: usize = 600;
const SKEW: i64 = 5;
const DEADLINE: i64 = 10;
/// The maximum number of times that an hour passes.
const HOURS: u32 = 2;

/// A rule that can be disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A command with a smaller ticket is stale.
    Tickets,
    /// A command is applied only once.
    StoredVerdicts,
    /// An undelivered outcome is returned only while it still holds.
    Truth,
    /// The outcome of a create is returned only while the user has the `active` state that the create gave it.
    Active,
    /// No outcome is returned after an hour.
    Hour,
    /// Once a request has a new answer, the outcomes of its earlier attempts are not returned any more.
    Answered,
    /// The reply follows the commit.
    CommitFirst,
    /// The outcome of a create whose answer is not confirmed is returned to a retry.
    Receipts,
    /// At the deadline the verdict is read before it is recorded as delivered, and returned even if recording that
    /// fails.
    ReadFirst,
}

/// A pending call.
#[derive(Debug, Clone)]
struct Waiting {
    call: usize,
    ingest: usize,
    command: Command,
    reply: Option<Outcome>,
    attempts: u32,
}

#[derive(Debug, Default)]
struct Client {
    left: usize,
    waiting: Option<Waiting>,
}

/// The model and the history it produces.
pub struct World {
    pub history: Vec<Call>,
    pub begun: Thing,
    random: StdRng,
    without: Option<Rule>,
    now: i64,
    ingests: Vec<(Clock, TicketClock)>,
    clients: Vec<Client>,
    queue: Vec<Command>,
    database: Database,
    started: u32,
    hours: u32,
    outage: (i64, i64),
}

fn at(step: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(step)
}

/// Whether a client has waited past the deadline. Asynchronous requests have none.
fn is_overdue(waiting: &Waiting, now: i64) -> bool {
    !waiting.command.asynchronous && at(now) > waiting.command.deadline
}

impl World {
    /// Runs one history to its end.
    pub fn play(mut random: StdRng, without: Option<Rule>) -> Self {
        let ingest = |random: &mut StdRng| {
            let skew = *[0, -SKEW, SKEW].choose(random).unwrap();
            let clock = Clock::manual(at(skew));
            (clock.clone(), TicketClock::new(clock))
        };
        let outage = if random.random_bool(0.6) {
            (random.random_range(5..40), random.random_range(5..60))
        } else {
            (0, 0)
        };
        let mut world = Self {
            history: Vec::new(),
            begun: Thing::Nothing,
            ingests: (0..3).map(|_| ingest(&mut random)).collect(),
            clients: (0..CLIENTS).map(|_| Client { left: CALLS_EACH, waiting: None }).collect(),
            queue: Vec::new(),
            database: Database::default(),
            now: 0,
            started: 0,
            hours: 0,
            outage,
            without,
            random,
        };
        if world.random.random_bool(0.8) {
            let is_user = world.random.random_bool(0.6);
            world.begin(is_user);
        }
        for _ in 0..STEPS {
            if world.clients.iter().all(|client| client.left == 0 && client.waiting.is_none()) {
                break;
            }
            world.step();
        }
        world.now += 1_000;
        world.history.push(Call::asked(Op::Read, world.now * 2));
        let seen = Answer::Seen(world.database.read());
        world.answer(world.history.len() - 1, seen);
        world
    }

    /// Creates the initial user or group, by an old command.
    fn begin(&mut self, is_user: bool) {
        let old = TicketClock::new(Clock::manual(at(-100_000))).issue();
        let command = if is_user {
            self.command(Op::Create(0), old)
        } else {
            let body = json!({ "displayName": "Readers" });
            let resource = Resource::parse(ResourceType::group(), &body).unwrap();
            let change = Change::CreateGroup {
                group: Group { resource, members: Vec::new(), displays: Displays::new() },
            };
            Command { change, ..self.command(Op::Create(0), old) }
        };
        let mut state = self.database.load(std::slice::from_ref(&command), at(self.now), self.without);
        decide(&mut state, &command).unwrap();
        self.database.commit(state, None);
        self.begun = self.database.read();
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds;
        self.ingests.iter().for_each(|(clock, _)| clock.advance(Duration::seconds(seconds)));
    }

    /// Advances the clocks until no retry is expected any more.
    fn pass_an_hour(&mut self) {
        self.hours += 1;
        let call = self.history.len();
        self.history.push(Call::asked(Op::Hour, self.now * 2));
        self.pass(REPEATABLE_FOR.whole_seconds());
        self.answer(call, Answer::Done);
    }

    fn step(&mut self) {
        self.pass(1);
        if self.hours < HOURS && self.random.random_bool(0.01) {
            return self.pass_an_hour();
        }
        let (action, client) = (self.random.random::<f64>(), self.random.random_range(0..CLIENTS));
        if action < 0.5 {
            if self.clients[client].waiting.is_some() {
                self.listen(client);
            } else if self.clients[client].left > 0 {
                self.ask(client);
            }
        } else if action < 0.95
            && !self.queue.is_empty()
            && !(self.outage.0..self.outage.0 + self.outage.1).contains(&self.now)
        {
            self.work();
        }
    }

    fn ask(&mut self, client: usize) {
        self.clients[client].left -= 1;
        self.started += 1;
        let n = self.started;
        let kind = self.random.random::<f64>();
        let (creates, mask) =
            (if self.begun == Thing::Nothing { 0.6 } else { 0.42 }, self.random.random_range(0..16));
        let mut op = match (self.begun, kind) {
            (_, k) if k < 0.35 => Op::Read,
            (Thing::Group(_), k) if k < 0.6 => Op::Join(mask),
            (Thing::Group(_), k) if k < 0.8 => Op::Leave(mask),
            (Thing::Group(_), _) => Op::Exactly(mask),
            (_, k) if k < creates => Op::Create(n),
            (_, k) if k < 0.7 => Op::Set(Some(n), None),
            (_, k) if k < 0.8 => Op::Set(None, Some(n)),
            (_, k) if k < 0.9 => Op::Archive,
            _ => Op::Set(Some(n), Some(n)),
        };
        if op != Op::Read && self.random.random_bool(0.3) {
            // Repeats an earlier request on purpose; the fingerprint is the same.
            let same_kind = |call: &&Call| std::mem::discriminant(&call.op) == std::mem::discriminant(&op);
            // While one of several creates with the same fingerprint is pending, a further attempt cannot be assigned
            // to one.
            let over = |call: &&Call| match call.op {
                Op::Create(_) => {
                    let mut attempts = self.history.iter().filter(|other| other.op == call.op);
                    attempts.all(|other| other.answered.is_some() || other.given_up.is_some())
                }
                _ => call.answered.is_some() || call.given_up.is_some(),
            };
            let earlier: Vec<Op> =
                self.history.iter().filter(same_kind).filter(over).map(|call| call.op).collect();
            op = earlier.choose(&mut self.random).copied().unwrap_or(op);
        }
        let call = self.begin_call(op);
        if op == Op::Read {
            let seen = self.database.read();
            self.answer(call, Answer::Seen(seen));
        } else {
            let waiting = self.publish(call, 0);
            self.clients[client].waiting = Some(waiting);
        }
    }

    /// A create repeats the last create with the same request, if the answer of what that created is not confirmed.
    fn begin_call(&mut self, op: Op) -> usize {
        let call = self.history.len();
        let earlier = self.history.iter().rposition(|earlier| earlier.op == op && !earlier.asynchronous);
        let repeats = earlier.filter(|index| {
            let earlier = &self.history[*index];
            matches!(op, Op::Create(_)) && (earlier.answered.is_none() || earlier.unmarked)
        });
        self.history.push(Call { repeats, ..Call::asked(op, self.now * 2) });
        call
    }

    fn answer(&mut self, call: usize, answer: Answer) {
        self.history[call].answered = Some(self.now * 2 + 1);
        self.history[call].answer = Some(answer);
    }

    fn publish(&mut self, call: usize, attempts: u32) -> Waiting {
        let ingest = self.random.random_range(0..3);
        let ticket = self.ingests[ingest].1.issue();
        // Some requests are asynchronous: ingest inserts a row before it publishes, and the client polls that row.
        let asynchronous = attempts == 0 && self.random.random_bool(0.15);
        let command = Command { asynchronous, ..self.command(self.history[call].op, ticket) };
        self.history[call].asynchronous = asynchronous;
        if asynchronous {
            self.database.insert(&command);
        }
        self.queue.push(command.clone());
        Waiting { call, ingest, command, reply: None, attempts }
    }

    fn command(&self, op: Op, ticket: Ticket) -> Command {
        let change = op.change().expect("reads are not queued");
        Command {
            version: VERSION,
            ticket,
            tenant: TENANT,
            actor: Actor::Operator,
            request: ticket.0,
            fingerprint: Fingerprint::of(TENANT, "", "", format!("{op:?}").as_bytes(), None),
            issued_at: at(self.now),
            deadline: at(self.now + DEADLINE),
            resource: ADA,
            if_match: None,
            asynchronous: false,
            change,
        }
    }

    /// A client checks for an answer and for its deadline.
    fn listen(&mut self, client: usize) {
        let Some(mut waiting) = self.clients[client].waiting.take() else { return };
        let overdue = is_overdue(&waiting, self.now);
        if waiting.reply.is_none() && waiting.command.asynchronous {
            waiting.reply = self.database.verdict(&waiting.command);
        } else if waiting.reply.is_none() && overdue {
            // Sometimes ingest cannot reach Postgres here, and the race between verdict and deadline is not settled.
            if self.random.random_bool(0.8) {
                waiting.reply = self.expire_or_deliver(&waiting.command);
            }
        }
        self.clients[client].waiting = match waiting.reply.take() {
            Some(Outcome::Stale { ticket }) => {
                self.ingests[waiting.ingest].1.observe(ticket).expect("the clocks are seconds apart");
                let again = self.ingests[waiting.ingest].1.issue();
                let command = Command { ticket: again, ..self.command(self.history[waiting.call].op, again) };
                self.queue.push(command.clone());
                self.history[waiting.call].asynchronous = false;
                Some(Waiting { command, ..waiting })
            }
            Some(outcome) => {
                let answer = match outcome.status() {
                    404 => Answer::Missing,
                    409 => Answer::Conflict,
                    _ => Answer::Done,
                };
                self.answer(waiting.call, answer);
                // Sometimes ingest dies before it confirms its answer.
                if self.database.has_no_receipt(&waiting.command) && self.random.random_bool(0.2) {
                    self.history[waiting.call].unmarked = true;
                } else {
                    self.database.write_receipt(&waiting.command);
                }
                None
            }
            None if overdue => self.too_late(&waiting),
            None => Some(waiting),
        };
    }

    /// Settles whether the deadline or the worker came first. Sometimes the response of Postgres is lost: with
    /// [`Rule::ReadFirst`] disabled, the verdict is then recorded as delivered but not returned.
    fn expire_or_deliver(&mut self, command: &Command) -> Option<Outcome> {
        let verdict = self.database.expire(command)?;
        self.database.deliver(command);
        let is_lost = self.random.random_bool(0.2) && self.without == Some(Rule::ReadFirst);
        Some(verdict).filter(|_| !is_lost)
    }

    /// 429: the client retries or gives up.
    fn too_late(&mut self, waiting: &Waiting) -> Option<Waiting> {
        if waiting.attempts >= 3 || self.random.random_bool(0.5) {
            self.history[waiting.call].given_up = Some(self.now * 2);
            return None;
        }
        self.history[waiting.call].given_up = Some(self.now * 2);
        // Each attempt is a call of its own.
        let call = self.begin_call(self.history[waiting.call].op);
        Some(self.publish(call, waiting.attempts + 1))
    }

    /// A worker takes some messages, in any order, and may crash at any point.
    fn work(&mut self) {
        let size = self.random.random_range(1..=self.queue.len().min(3));
        self.queue.shuffle(&mut self.random);
        let batch: Vec<Command> = self.queue[..size].to_vec();
        let crash = |random: &mut StdRng, p: f64| random.random_bool(p);
        if crash(&mut self.random, 0.15) {
            return;
        }
        let mut state = self.database.load(&batch, at(self.now), self.without);
        let decisions: Vec<_> = batch.iter().map(|command| decide(&mut state, command).unwrap()).collect();
        let reply = |world: &mut Self, undelivered: &[Ticket]| {
            for (command, decision) in batch.iter().zip(&decisions) {
                let undelivered =
                    undelivered.contains(&command.ticket) || matches!(decision, Decision::Undelivered(_));
                if !undelivered {
                    world.deliver(command, decision.outcome());
                }
            }
        };
        if self.without == Some(Rule::CommitFirst) {
            reply(self, &[]);
        }
        if crash(&mut self.random, 0.1) {
            return;
        }
        if crash(&mut self.random, 0.08) {
            self.hang();
        }
        self.database.commit(state, self.without);
        let undelivered = self.leave_undelivered(&batch, &decisions);
        if crash(&mut self.random, 0.1) {
            return;
        }
        reply(self, &undelivered);
        if crash(&mut self.random, 0.1) {
            return;
        }
        self.queue.drain(..size);
    }

    /// Postgres hangs during a commit: time passes, and some requests end without Postgres being reached.
    fn hang(&mut self) {
        let steps = self.random.random_range(1..25);
        self.pass(steps);
        for client in 0..CLIENTS {
            let overdue = |waiting: &Waiting| waiting.reply.is_none() && is_overdue(waiting, self.now);
            if self.clients[client].waiting.as_ref().is_some_and(overdue) && self.random.random_bool(0.5) {
                let waiting = self.clients[client].waiting.take().unwrap();
                self.clients[client].waiting = self.too_late(&waiting);
            }
        }
    }

    /// Marks verdicts that were committed too late as undelivered.
    fn leave_undelivered(&mut self, batch: &[Command], decisions: &[Decision]) -> Vec<Ticket> {
        let late = |(command, decision): &(&Command, &Decision)| {
            let has_resource = matches!(decision, Decision::Reply(outcome) if outcome.record().is_some());
            has_resource && is_late(command, at(self.now))
        };
        let late: Vec<&Command> =
            batch.iter().zip(decisions).filter(late).map(|(command, _)| command).collect();
        late.iter().for_each(|command| self.database.leave_undelivered(command));
        late.iter().map(|command| command.ticket).collect()
    }

    fn deliver(&mut self, command: &Command, outcome: &Outcome) {
        if at(self.now) > command.deadline {
            return;
        }
        let waiting = self.clients.iter_mut().filter_map(|client| client.waiting.as_mut());
        for waiting in
            waiting.filter(|waiting| waiting.command.ticket == command.ticket && waiting.reply.is_none())
        {
            waiting.reply = Some(outcome.clone());
        }
    }
}

//! The chaos test: a load of creates, updates, deactivations, reactivations, renames, group pushes and assignments from
//! several tenants while faults are injected; afterwards the invariants are checked.
//!
//! `people` and `groups` generate the load, through `client`; `faults` injects faults; `history` and `spec` check
//! linearizability, `judge` the other invariants; `board` counts. `deploy/chaos` runs it standalone.

mod board;
mod client;
mod faults;
mod groups;
mod history;
mod judge;
mod people;
mod spec;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use self::board::Board;
use self::client::{Balancer, Client};
use self::faults::{Link, Saboteur};
use self::groups::Pushed;
use self::people::{Lived, Person};
use crate::broker::Witness;
use crate::proxy::Proxy;
use crate::servers::{Server, Servers};
use crate::smtp::SmtpServer;
use crate::stack::{Options, Stack};
use crate::tenant::Tenant;

/// The tenants.
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
/// The number of concurrent user sequences per tenant.
const LIVES: usize = 24;
/// The number of concurrent group sequences per tenant.
const GROUPS: usize = 2;
/// The number of candidate members of a group.
const MEMBERS: usize = 8;
/// The number of changes per sequence.
const STEPS: std::ops::Range<usize> = 6..14;
/// The queue's length limit: small, so that it fills.
const QUEUE_LIMIT: u32 = 40;
/// The deadline in seconds: short, so that it expires.
const DEADLINE: u32 = 3;

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The duration.
    pub time: Duration,
    /// The seed for the faults.
    pub seed: u64,
    /// The names of the faults to inject; empty for all.
    pub only: &'static [&'static str],
    /// The bug that the workers have, by its name in the worker's module `sabotage`.
    pub sabotage: Option<String>,
}

impl Plan {
    /// A plan for workers with this bug: injects only faults that expose it.
    #[must_use]
    pub fn to_reveal(sabotage: &str, time: Duration, seed: u64) -> Self {
        let only: &[&str] = match sabotage {
            "reply-before-commit" => &[
                "worker to PostgreSQL: cut",
                "worker to PostgreSQL: slow",
                "worker killed",
                "PostgreSQL killed",
            ],
            "ack-before-commit" => &["worker to PostgreSQL: slow", "worker killed", "PostgreSQL paused"],
            "no-dedup" => &[
                "worker to RabbitMQ: cut",
                "worker to RabbitMQ: slow",
                "worker killed",
                "AMQP connections closed",
            ],
            // Another worker decides the redelivered command before the paused one wakes up.
            "no-ticket-check" => &["worker paused"],
            // With these faults, clients give up a POST that is answered 429.
            "no-active-check" => &["worker paused", "worker killed", "worker to PostgreSQL: slow"],
            _ => &[],
        };
        Self { time, seed, only, sabotage: Some(sabotage.to_owned()) }
    }

    /// The timeout for commands that workers hold after the last fault: several times the longest lock of a paused
    /// worker. With a bug, a verdict may be missing for good.
    fn in_hand(&self) -> Duration {
        Duration::from_secs(if self.sabotage.is_some() { 30 } else { 90 })
    }
}

/// The result of a run.
pub struct Report {
    /// The table of faults and answers.
    pub table: String,
    /// The number of requests, answered or not.
    pub requests: u64,
    /// The number of faults.
    pub faults: u64,
    /// The count of the rarest kind of fault.
    pub rarest: u64,
    /// The number of users and groups that were checked.
    pub subjects: usize,
    /// The violations.
    pub violations: Vec<String>,
}

/// The state of the load.
struct Load {
    clients: Vec<(Arc<Client>, Tenant)>,
    people: Mutex<Vec<Lived>>,
    groups: Mutex<Vec<Pushed>>,
    count: AtomicUsize,
    seed: u64,
    until: Instant,
}

impl Load {
    /// The number of the next sequence, and its random generator.
    fn next(&self) -> (usize, StdRng) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        (number, StdRng::seed_from_u64(self.seed.wrapping_add(number as u64)))
    }
}

/// Runs a plan on private servers and checks the invariants.
///
/// # Panics
/// If the stack does not start, or does not become quiescent afterwards.
pub async fn play(plan: &Plan, progress: impl Fn(&str) + Send + Sync + 'static) -> Report {
    let servers = Servers::own().await;
    let links = links(&servers).await;
    let smtp = SmtpServer::start().await;
    let stack = Arc::new(stack(plan, servers, &links, &smtp).await);
    let board = Arc::new(Board::default());
    let origins = (0..stack.ingests.len()).map(|n| stack.origin_of(n)).collect();
    let (balancer, asking) = Balancer::start(origins);
    let witness = stack.broker().await.witness().await;
    let load = Arc::new(Load {
        clients: clients(&stack, &balancer, &board).await,
        people: Mutex::default(),
        groups: Mutex::default(),
        count: AtomicUsize::new(0),
        seed: plan.seed,
        until: Instant::now() + plan.time,
    });
    let saboteur =
        Saboteur { stack: stack.clone(), links, smtp: smtp.clone(), board: board.clone(), only: plan.only };

    let telling = tell(board.clone(), load.until, progress);
    let working = work(&load);
    let sabotage = async {
        saboteur.run(plan.seed, load.until).await;
        // Services must recover by themselves from what was unavailable while they ran or started.
        for service in stack.services() {
            service.whole().await;
        }
    };
    tokio::join!(sabotage, telling, working);

    let mut violations = board.violations();
    violations.extend(judge_histories(&load).await);
    // One violation shows that a bug is detected. The other checks would wait until the system is idle.
    if plan.sabotage.is_none() || violations.is_empty() {
        judge::quiet(&stack).await;
        violations
            .extend(judge::what_was_queued_is_decided(&stack, &board.all_queued(), plan.in_hand()).await);
        violations.extend(judge::what_was_acknowledged_is_applied(&stack, &board.all_acknowledged()).await);
        violations.extend(judge_state(&load, &stack, &witness, &smtp).await);
    }
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    let (faults, rarest) = board.faults(&saboteur.kinds());
    Report {
        table: board.table(),
        requests: board.total().all(),
        faults,
        rarest,
        subjects: load.people.lock().await.len() + load.groups.lock().await.len(),
        violations,
    }
}

async fn judge_histories(load: &Load) -> Vec<String> {
    let (people, groups) = (load.people.lock().await, load.groups.lock().await);
    let subjects =
        people.iter().map(|person| &person.subject).chain(groups.iter().map(|group| &group.subject));
    judge::unexplained(subjects)
}

async fn judge_state(load: &Load, stack: &Stack, witness: &Witness, smtp: &SmtpServer) -> Vec<String> {
    let (people, groups) = (load.people.lock().await, load.groups.lock().await);
    let mut violations = judge::users_are_there_once(stack, &people).await;
    violations.extend(judge::groups_are_there_once(stack, &groups).await);
    violations.extend(judge::events_match(stack, witness).await);
    violations.extend(judge::mail_is_right(stack, &people, smtp).await);
    violations.extend(judge::nothing_is_dead(stack).await);
    violations
}

async fn links(servers: &Servers) -> Vec<Link> {
    use Server::{Postgres, RabbitMq};
    let all = [
        ("ingest to PostgreSQL: cut", "ingest to PostgreSQL: slow", "ingest", Postgres),
        ("ingest to RabbitMQ: cut", "ingest to RabbitMQ: slow", "ingest", RabbitMq),
        ("worker to PostgreSQL: cut", "worker to PostgreSQL: slow", "worker", Postgres),
        ("worker to RabbitMQ: cut", "worker to RabbitMQ: slow", "worker", RabbitMq),
        ("notifier to PostgreSQL: cut", "notifier to PostgreSQL: slow", "notifier", Postgres),
        ("notifier to RabbitMQ: cut", "notifier to RabbitMQ: slow", "notifier", RabbitMq),
    ];
    let mut links = Vec::new();
    for (cut, slow, program, server) in all {
        links.push(Link { cut, slow, program, server, proxy: Proxy::start(servers.port(server)).await });
    }
    links
}

async fn stack(plan: &Plan, servers: Arc<Servers>, links: &[Link], smtp: &SmtpServer) -> Stack {
    let ports: Vec<_> = links
        .iter()
        .map(|link| {
            (link.program, format!(":{}/", servers.port(link.server)), format!(":{}/", link.proxy.port()))
        })
        .collect();
    let way = move |program: &str, url: &str| {
        let mut url = url.to_owned();
        for (of, direct, through) in &ports {
            if *of == program {
                url = url.replace(direct, through);
            }
        }
        url
    };
    let environment =
        vec![("ROLLCALL_QUEUE_LIMIT", QUEUE_LIMIT.to_string()), ("ROLLCALL_DEADLINE", DEADLINE.to_string())];
    let sabotage = plan.sabotage.clone();
    let mail_url = Some(format!("smtp://127.0.0.1:{}", smtp.port));
    let way: Option<crate::stack::Way> = Some(Box::new(way));
    Stack::start(Options {
        ingests: 2,
        workers: 3,
        mail_url,
        environment,
        servers: Some(servers),
        way,
        sabotage,
    })
    .await
}

async fn clients(stack: &Stack, balancer: &Arc<Balancer>, board: &Arc<Board>) -> Vec<(Arc<Client>, Tenant)> {
    let mut clients = Vec::new();
    for name in TENANTS {
        let tenant = stack.tenant(name).await;
        // The checks identify a user by its externalId, so it must be unique.
        tenant.set(stack, &["external_id=unique"]).await;
        let oktas = (0..stack.ingests.len()).map(|n| tenant.okta_at(&stack.origin_of(n))).collect();
        let client = Client { oktas, balancer: balancer.clone(), board: board.clone() };
        clients.push((Arc::new(client), tenant));
    }
    clients
}

/// Runs sequences concurrently until the time is up; they finish after the last fault.
async fn work(load: &Arc<Load>) {
    let mut lives = JoinSet::new();
    for company in 0..load.clients.len() {
        for _ in 0..LIVES {
            lives.spawn(people_live(load.clone(), company));
        }
        for _ in 0..GROUPS {
            lives.spawn(groups_live(load.clone(), company));
        }
    }
    while let Some(ended) = lives.join_next().await {
        ended.expect("a client panics only on a violation");
    }
}

async fn people_live(load: Arc<Load>, company: usize) {
    let (client, tenant) = &load.clients[company];
    while Instant::now() < load.until {
        let (number, mut rng) = load.next();
        let person = Person::new(&tenant.name, number).live(client, &mut rng).await;
        let event = tenant.content().assigned("", "Welcome aboard");
        let lived = person.end(client, &event, rng.random_bool(0.5)).await;
        load.people.lock().await.push(lived);
    }
}

async fn groups_live(load: Arc<Load>, company: usize) {
    let (client, tenant) = &load.clients[company];
    while Instant::now() < load.until {
        let known = load.people.lock().await;
        let people = known.iter().rev().filter(|person| person.company == tenant.name);
        let people: Vec<String> = people.filter_map(|person| person.id.clone()).take(MEMBERS).collect();
        drop(known);
        if people.len() < MEMBERS {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        let (number, mut rng) = load.next();
        let group = Pushed::new(&tenant.name, number, people).live(client, &mut rng).await;
        load.groups.lock().await.push(group);
    }
}

/// Reports progress every ten seconds.
async fn tell(board: Arc<Board>, until: Instant, progress: impl Fn(&str)) {
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(Duration::from_secs(10))).await;
        let (total, (faults, _)) = (board.total(), board.faults(&[]));
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        progress(&format!("{} requests, {faults} faults, {left} s to go", total.all()));
    }
    progress("waiting until the system is quiescent");
}

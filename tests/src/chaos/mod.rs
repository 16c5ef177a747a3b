//! Bad luck for Rollcall, condensed: a load of creates, updates, deactivations, reactivations, renames, group pushes and
//! assignments from several tenants, while a saboteur breaks everything that can break; then a judge, when all is quiet.
//!
//! `people` and `groups` are the load, through `client`; `faults` is the saboteur; `history` and `spec` say what can be
//! explained, `judge` what else must hold; `board` counts. `deploy/chaos` runs it alone.

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

/// The companies.
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
/// How many people's lives go on at a time, per company.
const LIVES: usize = 24;
/// How many groups' lives go on at a time, per company.
const GROUPS: usize = 2;
/// How many people are in question for one group.
const MEMBERS: usize = 8;
/// How often somebody is changed in a life.
const STEPS: std::ops::Range<usize> = 6..14;
/// The length of the queue: short, so that it fills.
const QUEUE_LIMIT: u32 = 40;
/// Seconds until a client is told to try again: short, so that it happens.
const DEADLINE: u32 = 3;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For how long.
    pub time: Duration,
    /// The saboteur's seed.
    pub seed: u64,
    /// The kinds of faults, by their names in the table; empty: all.
    pub only: &'static [&'static str],
    /// The fault that the workers commit themselves, as the worker's module `sabotage` names it.
    pub sabotage: Option<String>,
}

impl Plan {
    /// A plan for workers that commit this fault: with what brings it to light, and nothing that hides it.
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
            // What is delivered again is decided by another worker before the one that is paused wakes up.
            "no-ticket-check" => &["worker paused"],
            // Whoever is told to try again does not.
            "no-active-check" => &["worker paused", "worker killed", "worker to PostgreSQL: slow"],
            _ => &[],
        };
        Self { time, seed, only, sabotage: Some(sabotage.to_owned()) }
    }
}

/// What came of it.
pub struct Report {
    /// The table of faults and what clients saw.
    pub table: String,
    /// How many requests were answered, or broke.
    pub requests: u64,
    /// How many faults there were.
    pub faults: u64,
    /// How often the rarest kind of fault was inflicted.
    pub rarest: u64,
    /// How many people and groups were judged.
    pub subjects: usize,
    /// All that must not be.
    pub violations: Vec<String>,
}

/// The load in the making.
struct Load {
    clients: Vec<(Arc<Client>, Tenant)>,
    people: Mutex<Vec<Lived>>,
    groups: Mutex<Vec<Pushed>>,
    count: AtomicUsize,
    seed: u64,
    until: Instant,
}

impl Load {
    /// The number of the next life, and its luck.
    fn next(&self) -> (usize, StdRng) {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        (number, StdRng::seed_from_u64(self.seed.wrapping_add(number as u64)))
    }
}

/// Plays a plan on servers of its own, and judges.
///
/// # Panics
/// When the stack does not start, or does not become quiet afterwards.
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
        // What was away while they ran, or while they were started, is found again by now, or never.
        for service in stack.services() {
            service.whole().await;
        }
    };
    tokio::join!(sabotage, telling, working);
    judge::quiet(&stack).await;

    let mut violations = board.violations();
    violations.extend(judge::what_was_queued_is_decided(&stack, &board.all_queued()).await);
    violations.extend(judge::what_was_acknowledged_is_applied(&stack, &board.all_acknowledged()).await);
    violations.extend(judge_all(&load, &stack, &witness, &smtp).await);
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

async fn judge_all(load: &Load, stack: &Stack, witness: &Witness, smtp: &SmtpServer) -> Vec<String> {
    let (people, groups) = (load.people.lock().await, load.groups.lock().await);
    let subjects =
        people.iter().map(|person| &person.subject).chain(groups.iter().map(|group| &group.subject));
    let mut violations = judge::unexplained(subjects);
    violations.extend(judge::users_are_there_once(stack, &people).await);
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
        // The judge knows a person by the externalId: it must be one account's.
        tenant.set(stack, &["external_id=unique"]).await;
        let oktas = (0..stack.ingests.len()).map(|n| tenant.okta_at(&stack.origin_of(n))).collect();
        let client = Client { oktas, balancer: balancer.clone(), board: board.clone() };
        clients.push((Arc::new(client), tenant));
    }
    clients
}

/// Lives, one after the other, in all places at once, until the time is up; then their last moments, when all is whole.
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
        ended.expect("a client that panics has seen what must not be");
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

/// Tells every ten seconds how it goes.
async fn tell(board: Arc<Board>, until: Instant, progress: impl Fn(&str)) {
    while Instant::now() < until {
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(Duration::from_secs(10))).await;
        let (total, (faults, _)) = (board.total(), board.faults(&[]));
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        progress(&format!("{} requests, {faults} faults, {left} s to go", total.all()));
    }
    progress("waiting until all is quiet");
}

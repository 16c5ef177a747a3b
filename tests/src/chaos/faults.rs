//! Injects faults: three loops, each injecting one fault at a time from its own shuffled deck, so that all kinds occur
//! about equally often.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::board::Board;
use crate::process::{Service, ended_well};
use crate::proxy::Proxy;
use crate::servers::Server;
use crate::smtp::{Mood, SmtpServer};
use crate::stack::Stack;

/// A proxied link from a kind of service to a server.
pub struct Link {
    /// The name of the fault that cuts it.
    pub cut: &'static str,
    /// The name of the fault that slows it.
    pub slow: &'static str,
    /// The program that uses the link.
    pub program: &'static str,
    /// The server that it leads to.
    pub server: Server,
    /// The proxy.
    pub proxy: Proxy,
}

/// Everything that faults can be injected into.
pub struct Saboteur {
    /// The services and servers.
    pub stack: Arc<Stack>,
    /// The proxied links.
    pub links: Vec<Link>,
    /// The mail server.
    pub smtp: SmtpServer,
    /// Records the faults.
    pub board: Arc<Board>,
    /// The names of the faults to inject; empty for all.
    pub only: &'static [&'static str],
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kill(Target),
    Pause(Target),
    Restart(Target),
    Cut(usize),
    Slow(usize),
    CloseConnections,
    FillQueue,
    Mail(Mood),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Ingest,
    Worker,
    Notifier,
    Postgres,
    RabbitMq,
}

use Target::{Ingest, Notifier, Postgres, RabbitMq, Worker};

/// One deck for the services, one for Postgres and the links, one for RabbitMQ, which restarts slowly.
const SERVICES: [Kind; 15] = [
    Kind::Kill(Ingest),
    Kind::Pause(Ingest),
    Kind::Restart(Ingest),
    Kind::Kill(Worker),
    Kind::Pause(Worker),
    Kind::Restart(Worker),
    Kind::Kill(Notifier),
    Kind::Pause(Notifier),
    Kind::Restart(Notifier),
    Kind::CloseConnections,
    Kind::FillQueue,
    Kind::Mail(Mood::Closed),
    Kind::Mail(Mood::Busy),
    Kind::Mail(Mood::Stern),
    Kind::Mail(Mood::Silent),
];
const DATABASE: [Kind; 3] = [Kind::Kill(Postgres), Kind::Pause(Postgres), Kind::Restart(Postgres)];
const BROKER: [Kind; 3] = [Kind::Kill(RabbitMq), Kind::Pause(RabbitMq), Kind::Restart(RabbitMq)];

/// The pause after a broker fault, in milliseconds.
const BROKER_REST: std::ops::Range<u64> = 6_000..12_000;
/// How long to wait for a restarted service. While its servers are down it may run without becoming ready.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The pause between two faults of the other decks, in milliseconds.
const REST: std::ops::Range<u64> = 50..800;

impl Kind {
    fn name(self, links: &[Link]) -> &'static str {
        match self {
            Self::Kill(Ingest) => "ingest killed",
            Self::Kill(Worker) => "worker killed",
            Self::Kill(Notifier) => "notifier killed",
            Self::Kill(Postgres) => "PostgreSQL killed",
            Self::Kill(RabbitMq) => "RabbitMQ killed",
            Self::Pause(Ingest) => "ingest paused",
            Self::Pause(Worker) => "worker paused",
            Self::Pause(Notifier) => "notifier paused",
            Self::Pause(Postgres) => "PostgreSQL paused",
            Self::Pause(RabbitMq) => "RabbitMQ paused",
            Self::Restart(Ingest) => "ingest restarted",
            Self::Restart(Worker) => "worker restarted",
            Self::Restart(Notifier) => "notifier restarted",
            Self::Restart(Postgres) => "PostgreSQL restarted",
            Self::Restart(RabbitMq) => "RabbitMQ restarted",
            Self::Cut(link) => links[link].cut,
            Self::Slow(link) => links[link].slow,
            Self::CloseConnections => "AMQP connections closed",
            Self::FillQueue => "queue filled",
            Self::Mail(Mood::Closed) => "SMTP refuses connections",
            Self::Mail(Mood::Busy) => "SMTP answers 4xx",
            Self::Mail(Mood::Stern) => "SMTP answers 5xx",
            Self::Mail(_) => "SMTP hangs after the dot",
        }
    }
}

impl Saboteur {
    /// The names of all faults in use.
    #[must_use]
    pub fn kinds(&self) -> Vec<&'static str> {
        self.groups().iter().flatten().map(|kind| kind.name(&self.links)).collect()
    }

    fn groups(&self) -> [Vec<Kind>; 3] {
        let links = (0..self.links.len()).flat_map(|link| [Kind::Cut(link), Kind::Slow(link)]);
        let mut groups = [SERVICES.to_vec(), links.chain(DATABASE).collect(), BROKER.to_vec()];
        if !self.only.is_empty() {
            groups
                .iter_mut()
                .for_each(|group| group.retain(|kind| self.only.contains(&kind.name(&self.links))));
        }
        groups
    }

    /// Injects faults until `until`; afterwards everything runs again.
    pub async fn run(&self, seed: u64, until: Instant) {
        let [services, links, broker] = self.groups();
        tokio::join!(
            self.group(services, seed, until, REST),
            self.group(links, seed ^ 1 << 32, until, REST),
            self.group(broker, seed ^ 2 << 32, until, BROKER_REST),
        );
    }

    async fn group(&self, mut deck: Vec<Kind>, seed: u64, until: Instant, rest: std::ops::Range<u64>) {
        if deck.is_empty() {
            return;
        }
        let mut rng = StdRng::seed_from_u64(seed);
        let mut dealt = deck.len();
        loop {
            sleep(millis(rng.random_range(rest.clone()))).await;
            if Instant::now() >= until {
                return;
            }
            if dealt == deck.len() {
                deck.shuffle(&mut rng);
                dealt = 0;
            }
            let kind = deck[dealt];
            dealt += 1;
            let name = kind.name(&self.links);
            self.board.begin(name);
            self.inflict(kind, &mut rng).await;
            self.board.end(name);
        }
    }

    async fn inflict(&self, kind: Kind, rng: &mut StdRng) {
        let long = millis(rng.random_range(300..4_000));
        match kind {
            Kind::Kill(Postgres) => self.bounce(Server::Postgres, true, long / 2).await,
            Kind::Kill(RabbitMq) => self.bounce(Server::RabbitMq, true, long / 2).await,
            Kind::Restart(Postgres) => self.bounce(Server::Postgres, false, long / 4).await,
            Kind::Restart(RabbitMq) => self.bounce(Server::RabbitMq, false, long / 4).await,
            Kind::Pause(Postgres) => self.hold(Server::Postgres, long).await,
            Kind::Pause(RabbitMq) => self.hold(Server::RabbitMq, 2 * long).await,
            Kind::Kill(target) => {
                let (number, service) = self.one(target, rng);
                if target == Ingest {
                    self.board.killed(number);
                }
                service.kill();
                sleep(long / 3).await;
                service.start();
                service.ready_or(TIMEOUT).await;
                if target == Ingest {
                    self.board.killed(number);
                }
            }
            Kind::Pause(target) => {
                // Occasionally longer than the broker's heartbeat timeout.
                let time = match target {
                    Worker if rng.random_bool(0.15) => Duration::from_secs(25),
                    // Longer than clients wait, at most.
                    Worker => 2 * long,
                    _ => long,
                };
                let (_, service) = self.one(target, rng);
                service.freeze();
                sleep(time).await;
                service.thaw();
            }
            Kind::Restart(target) => {
                let (_, service) = self.one(target, rng);
                self.end_in_order(service).await;
                service.start();
                service.ready_or(TIMEOUT).await;
            }
            Kind::Cut(link) => {
                self.links[link].proxy.cut();
                sleep(long).await;
                self.links[link].proxy.mend();
            }
            Kind::Slow(link) => {
                self.links[link].proxy.slow(millis(rng.random_range(20..150)));
                sleep(long).await;
                self.links[link].proxy.mend();
            }
            Kind::CloseConnections => {
                // If the broker is down, it has no connections to close.
                let close = r#"[rabbit_networking:close_connection(P, "sabotage") || P <- rabbit_networking:connections()], ok."#;
                self.stack.servers.try_rabbitmq_eval(close).await;
            }
            Kind::FillQueue => {
                self.stack.workers.iter().for_each(Service::freeze);
                sleep(long).await;
                self.stack.workers.iter().for_each(Service::thaw);
            }
            Kind::Mail(mood) => {
                self.smtp.set_mood(mood);
                sleep(long).await;
                self.smtp.set_mood(Mood::Well);
            }
        }
    }

    fn one(&self, target: Target, rng: &mut StdRng) -> (usize, &Service) {
        let of = match target {
            Ingest => &self.stack.ingests[..],
            Worker => &self.stack.workers[..],
            _ => std::slice::from_ref(&self.stack.notifier),
        };
        let number = rng.random_range(0..of.len());
        let service = &of[number];
        if !service.is_running() {
            self.board.violation(format!("{} exited unexpectedly", service.name()));
            service.kill();
            service.start();
        }
        (number, service)
    }

    async fn end_in_order(&self, service: &Service) {
        let status = service.terminate().await;
        if !ended_well(status) {
            self.board.violation(format!("{} ended with {status} after SIGTERM", service.name()));
        }
    }

    async fn bounce(&self, server: Server, hard: bool, pause: Duration) {
        let servers = &self.stack.servers;
        if hard {
            servers.crash(server).await;
        } else {
            servers.stop(server).await;
        }
        sleep(pause).await;
        servers.start(server).await;
    }

    async fn hold(&self, server: Server, time: Duration) {
        self.stack.servers.freeze(server);
        sleep(time).await;
        self.stack.servers.thaw(server);
    }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

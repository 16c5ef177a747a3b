//! The siege: one tenant, or a stranger, attacks while another tenant works. Measures what the neighbour notices.
//!
//! An attack runs in a process of its own at the lowest priority, because its CPU time is not the server's.

pub mod attack;
mod neighbour;

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use self::attack::Attack;
use self::neighbour::Latencies;
use crate::crowd;
use crate::eventually;
use crate::okta::person;
use crate::stack::{Options, Stack};
use crate::tenant::{Key, Tenant};

/// How long the neighbour is measured alone, and under an attack.
const ALONE: Duration = Duration::from_secs(10);
const ATTACKED: Duration = Duration::from_secs(10);
/// How long the neighbour, and then an attack, runs before it is measured.
const RAMP: Duration = Duration::from_secs(3);
/// The maximum ratio between the neighbour's 99th percentiles under attack and alone.
pub const MAX_RATIO: f64 = 3.0;
/// The maximum of the neighbour's 99th percentile, and of the time to revoke a key or to admit a new one.
pub const MAX_WAIT: Duration = Duration::from_secs(1);
/// The number of users of the attacking tenant.
const PEOPLE: usize = 2_400;
/// The number of keys of the neighbour that are first used under attack.
const NEW_KEYS: usize = 60;
/// How long the siege waits for a mail, or for the refusal of a revoked key.
const LATE: Duration = Duration::from_secs(60);
/// The number of first mails that are timed.
const MAILS: usize = 10;
/// The maximum memory of an ingest with strangers' sockets, in MiB.
const MAX_MEMORY: usize = 200;

/// What the neighbour noticed of one attack.
pub struct Finding {
    /// The attack.
    pub attack: Attack,
    /// The measurement in words.
    pub text: String,
    /// Whether all limits held.
    pub holds: bool,
}

/// A stack with an attacker and a neighbour.
struct Stage {
    stack: Stack,
    attacker: Tenant,
    neighbour: Tenant,
}

/// Runs one attack on a new stack.
///
/// # Panics
/// If the stack does not start.
pub async fn run(attack: Attack) -> Finding {
    let stack = Stack::start(Options { workers: 2, ..Options::default() }).await;
    let (attacker, neighbour) = (stack.tenant("attacker").await, stack.tenant("neighbour").await);
    crowd::insert(&stack.db(), &[(attacker.id, PEOPLE), (neighbour.id, 100)]).await;
    stack.db().execute("analyze users").await;
    let stage = Stage { stack, attacker, neighbour };
    let (text, holds) = match attack {
        Attack::Revoked => stage.revoke().await,
        Attack::WrongKeys => stage.admit_new_keys().await,
        Attack::Events => stage.send_first_mails().await,
        Attack::Sockets => stage.open_sockets().await,
        _ => stage.compare(attack).await,
    };
    Finding { attack, text, holds }
}

impl Stage {
    /// Measures the neighbour alone, then under the attack.
    async fn compare(&self, attack: Attack) -> (String, bool) {
        let okta = self.neighbour.okta();
        neighbour::work(&okta, "warm-up", RAMP).await;
        let alone = neighbour::work(&okta, "alone", ALONE).await;
        let running = self.start(attack);
        tokio::time::sleep(RAMP).await;
        let attacked = neighbour::work(&okta, "attacked", ATTACKED).await;
        let memory = self.stack.ingests[0].peak_memory();
        drop(running);
        let (before, after) = (alone.percentile(99), attacked.percentile(99));
        let ratio = after.as_secs_f64() / before.as_secs_f64();
        let text = format!(
            "p99 {before:.1?} alone, {after:.1?} attacked ({ratio:.1} times), at most {:.1?}; {} of {} requests \
             refused; ingest's memory at most {} MiB",
            attacked.percentile(100),
            attacked.refused,
            attacked.len(),
            memory,
        );
        (text, ratio <= MAX_RATIO && after <= MAX_WAIT && attacked.refused == 0)
    }

    /// Measures how long a revoked key is accepted while it makes a load of its own.
    async fn revoke(&self) -> (String, bool) {
        let running = self.start(Attack::Revoked);
        tokio::time::sleep(RAMP).await;
        let okta = self.attacker.okta();
        let keys = self.stack.rollcall_json(&["key", "list", "attacker"]).await;
        let prefix = self.attacker.key.prefix();
        assert!(keys.to_string().contains(prefix), "the attacker's key is listed");
        self.stack.rollcall(&["key", "revoke", "attacker", prefix]).await.well();
        let revoked = Instant::now();
        let (mut statuses, mut accepted) = (BTreeMap::<u16, usize>::new(), Duration::ZERO);
        while revoked.elapsed() < LATE {
            let status = okta.once(okta.request("GET", "/Users?count=1")).await.status;
            *statuses.entry(status).or_default() += 1;
            match status {
                200 => accepted = revoked.elapsed(),
                401 => break,
                _ => {}
            }
        }
        drop(running);
        let text = format!("a revoked key was accepted for {accepted:.1?}; answers {statuses:?}");
        (text, accepted <= MAX_WAIT && statuses.contains_key(&401))
    }

    /// Measures how long the first request with a right key takes while wrong ones arrive.
    async fn admit_new_keys(&self) -> (String, bool) {
        let mut keys = Vec::new();
        for _ in 0..NEW_KEYS {
            keys.push(Key::add(&self.stack, "neighbour", "scim").await);
        }
        let running = self.start(Attack::WrongKeys);
        tokio::time::sleep(RAMP).await;
        let origin = self.stack.origin();
        let mut latencies = Latencies::default();
        for group in keys.chunks(4) {
            let first = async |key: &Key| {
                let okta = crate::Okta::basic(&origin, &key.username, &key.api_key);
                let began = Instant::now();
                (okta.once(okta.request("GET", "/Users?count=1")).await.status, began.elapsed())
            };
            for (status, took) in join_all(group.iter().map(first)).await {
                latencies.note(status, took);
            }
        }
        drop(running);
        let admitted = latencies.len() - latencies.refused;
        let slowest = latencies.percentile(100);
        let text = format!("{admitted} of {NEW_KEYS} right keys admitted; the slowest took {slowest:.1?}");
        (text, admitted == NEW_KEYS && slowest <= MAX_WAIT)
    }

    /// Measures reads and the health page until a stranger has opened and held its sockets of each kind.
    async fn open_sockets(&self) -> (String, bool) {
        let okta = self.neighbour.okta();
        let mut running = self.start(Attack::Sockets);
        let latencies = neighbour::read(&okta, || running.is_going()).await;
        let (memory, slowest) = (self.stack.ingests[0].peak_memory(), latencies.percentile(99));
        let text = format!(
            "ingest's memory at most {memory} MiB; {} of {} requests of a known client refused, p99 {slowest:.1?}, at \
             most {:.1?}",
            latencies.refused,
            latencies.len(),
            latencies.percentile(100),
        );
        (text, memory < MAX_MEMORY && latencies.refused == 0 && slowest <= MAX_WAIT)
    }

    /// Measures the time from an assignment to the mail, alone and under attack.
    async fn send_first_mails(&self) -> (String, bool) {
        self.first_mails("warm-up").await;
        let alone = self.first_mails("alone").await;
        let running = self.start(Attack::Events);
        tokio::time::sleep(RAMP).await;
        let attacked = self.first_mails("attacked").await;
        drop(running);
        let ratio = attacked.as_secs_f64() / alone.as_secs_f64();
        let text = format!(
            "the slowest first mail took {alone:.1?} alone, {attacked:.1?} attacked ({ratio:.1} times)"
        );
        (text, ratio <= MAX_RATIO && attacked <= MAX_WAIT)
    }

    /// Assigns content to new users, one after the other; returns the longest time until the mail was sent.
    async fn first_mails(&self, phase: &str) -> Duration {
        let (okta, content, mailbox) =
            (self.neighbour.okta(), self.neighbour.content(), self.stack.mailbox());
        let mut slowest = Duration::ZERO;
        for n in 0..MAILS {
            let address = format!("{phase}-{n}@neighbour.example");
            let id = okta.create(&person(&address, "Nei", "Ghbour")).await.is(201).id();
            let began = Instant::now();
            content.tell(&content.assigned(&id, "A lesson")).await.is(202);
            let arrived = async || mailbox.to(&address).into_iter().next();
            eventually(format!("a mail to {address}"), LATE, arrived).await;
            slowest = slowest.max(began.elapsed());
        }
        slowest
    }

    /// Starts an attack in processes of its own. Dropping the guard ends it.
    fn start(&self, attack: Attack) -> Running {
        let program = std::env::current_exe().expect("a running program has a path");
        let key = &self.attacker.key;
        let start = |_| {
            Command::new("nice")
                .args(["-n", "19"])
                .arg(&program)
                .args(["attack", attack.name(), "--origin", &self.stack.origin(), "--tenant", &key.username])
                .args(["--neighbour", &self.neighbour.name])
                .env(attack::KEY_VARIABLE, &key.api_key)
                .spawn()
                .expect("the attack starts")
        };
        Running((0..attack.processes()).map(start).collect())
    }
}

/// A running attack.
struct Running(Vec<Child>);

impl Running {
    /// Whether one of its processes runs.
    ///
    /// # Panics
    /// If one has failed.
    fn is_going(&mut self) -> bool {
        let mut going = false;
        for child in &mut self.0 {
            match child.try_wait().expect("it is our child") {
                Some(status) => assert!(status.success(), "the attack failed: {status}"),
                None => going = true,
            }
        }
        going
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

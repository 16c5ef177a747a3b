//! Two ingests behind HAProxy, with the configuration for operators, under load: servers go down, an ingest is stopped,
//! and clients see only 2xx and 429.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::haproxy::HaProxy;
use tests::load::{Pushed, somebody};
use tests::okta::{PATCH_OP, person};
use tests::servers::{Server, Servers};
use tests::stack::Options;
use tests::tenant::Tenant;
use tests::{Answer, Okta, Stack, check, eventually, holds_for};

/// How long each server is down.
const OUTAGE: Duration = Duration::from_secs(30);
/// The number of clients.
const CLIENTS: usize = 8;
/// Shorter than `Retry-After`, so that there is load during an outage.
const PAUSE: Duration = Duration::from_millis(300);

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Create,
    Patch,
    Read,
    List,
}

use Kind::{Create, List, Patch, Read};

/// The answers to all clients.
#[derive(Default)]
struct Seen {
    answers: Mutex<BTreeMap<(Kind, u16), usize>>,
    wrong: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Seen {
    /// How often this status was answered so far.
    fn count(&self, kind: Kind, status: u16) -> usize {
        self.answers.lock().unwrap().get(&(kind, status)).copied().unwrap_or_default()
    }

    fn note(&self, kind: Kind, answer: &reqwest::Result<Answer>) {
        let complaint = match answer {
            Ok(answer) => {
                *self.answers.lock().unwrap().entry((kind, answer.status)).or_default() += 1;
                complaint(answer)
            }
            Err(error) => Some(format!("{error:?}")),
        };
        if let Some(complaint) = complaint {
            self.wrong.lock().unwrap().push(format!("{kind:?}: {complaint}"));
        }
    }

    /// Waits until each kind of request succeeds from now on.
    async fn succeeds(&self) {
        for (kind, status) in [(Create, 201), (Patch, 200), (Read, 200), (List, 200)] {
            let before = self.count(kind, status);
            eventually(format!("{kind:?} succeeds"), Duration::from_secs(60), async || {
                (self.count(kind, status) > before + CLIENTS).then_some(())
            })
            .await;
        }
    }

    /// Checks that all answers were 2xx or a proper 429, and that no connection broke.
    fn judge(&self) {
        println!("answers: {:?}", self.answers.lock().unwrap());
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{} unacceptable answers: {:#?}", wrong.len(), wrong.first());
    }
}

/// Why an answer is not acceptable.
fn complaint(answer: &Answer) -> Option<String> {
    match answer.status {
        200..=299 => None,
        429 => {
            let seconds = answer.header("retry-after").parse::<u64>();
            let is_scim = answer.header("content-type").starts_with("application/scim+json")
                && answer.body["status"] == "429"
                && !answer.detail().is_empty();
            (seconds.is_err() || !is_scim).then(|| format!("a 429 that Okta does not understand: {answer:?}"))
        }
        status => Some(format!("{status}: {}", answer.text)),
    }
}

/// One client.
struct Client<'a> {
    okta: Okta,
    seen: &'a Seen,
}

impl Client<'_> {
    /// Repeats a request until the answer is not 429; `None` if there was no answer.
    async fn insist(&self, kind: Kind, request: impl Fn() -> RequestBuilder) -> Option<Answer> {
        loop {
            let answer = self.okta.attempt(request()).await;
            self.seen.note(kind, &answer);
            match answer {
                Ok(answer) if answer.status == 429 => tokio::time::sleep(PAUSE).await,
                answer => return answer.ok(),
            }
        }
    }

    /// Creates, changes, reads and lists users until stopped. Returns the users.
    async fn work(&self, company: &str, number: usize) -> Vec<Pushed> {
        let mut people = Vec::new();
        while !self.seen.stop.load(Ordering::SeqCst) {
            let user = somebody(company, number * 100_000 + people.len());
            let body = user.to_string();
            let post = || self.okta.request("POST", "/Users").body(body.clone());
            let Some(answer) = self.insist(Create, post).await.filter(|answer| answer.status == 201) else {
                return people;
            };
            let path = format!("/Users/{}", answer.id());
            let user_name = user["userName"].as_str().unwrap().to_owned();
            people.push(Pushed { user_name, answer });
            let change = json!({ "schemas": [PATCH_OP], "Operations":
                [{ "op": "replace", "path": "title", "value": format!("Title {number}") }] });
            let patch = || self.okta.request("PATCH", &path).body(change.to_string());
            self.insist(Patch, patch).await;
            self.insist(Read, || self.okta.request("GET", &path)).await;
            self.insist(List, || self.okta.request("GET", "/Users?count=5")).await;
        }
        people
    }
}

/// Runs the clients while something happens; returns the created users.
async fn under_load(
    tenant: &Tenant,
    origin: &str,
    seen: &Seen,
    happens: impl Future<Output = ()>,
) -> Vec<Pushed> {
    let clients: Vec<_> = (0..CLIENTS).map(|_| Client { okta: tenant.okta_at(origin), seen }).collect();
    let work = clients.iter().enumerate().map(|(number, client)| client.work(&tenant.name, number));
    let happens = async {
        seen.succeeds().await;
        happens.await;
        seen.succeeds().await;
        seen.stop.store(true, Ordering::SeqCst);
    };
    let (people, ()) = tokio::join!(join_all(work), happens);
    people.into_iter().flatten().collect()
}

/// Stops a server for a while: every service reports that and stays ready, and the balancer keeps both ingests.
async fn outage(stack: &Stack, balancer: &HaProxy, server: Server, name: &str) {
    let out = [0, 1].map(|ingest| balancer.times_out(ingest));
    stack.servers.stop(server).await;
    let began = Instant::now();
    for service in stack.services() {
        assert_eq!(service.misses(name).await, "away", "{}", service.name());
    }
    let is_as_said = async || {
        let mut all = true;
        for ingest in &stack.ingests {
            let (status, body) = ingest.readiness().await.unwrap_or((0, Value::Null));
            all &= (status, &body["dependencies"][name]) == (200, &json!("away"));
        }
        all
    };
    assert!(holds_for(OUTAGE.saturating_sub(began.elapsed()), is_as_said).await, "{name}: /readyz changed");
    stack.servers.start(server).await;
    for service in stack.services() {
        service.whole().await;
    }
    assert_eq!([0, 1].map(|ingest| balancer.times_out(ingest)), out, "{name}: an ingest was taken out");
}

/// Reads a user for some time; returns the statuses of the answers.
async fn read_for(time: Duration, okta: &Okta, path: &str) -> Vec<u16> {
    let end = Instant::now() + time;
    let mut statuses = Vec::new();
    while Instant::now() < end {
        statuses.push(okta.once(okta.request("GET", path)).await.status);
        tokio::time::sleep(PAUSE).await;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_only_2xx_and_429_while_postgresql_and_then_rabbitmq_are_down() {
    let servers = Servers::own().await;
    let stack =
        Stack::start(Options { ingests: 2, workers: 2, servers: Some(servers), ..Options::default() }).await;
    let balancer = HaProxy::start(&stack).await;
    let tenant = stack.tenant("balanced").await;
    let witness = stack.broker().await.witness().await;
    let seen = Seen::default();
    let reader = tenant.okta_at(&balancer.origin());
    let read = reader.create(&person("reader@balanced.example", "Re", "Ader")).await.is(201);
    let path = format!("/Users/{}", read.id());
    let outages = async {
        let postgres = outage(&stack, &balancer, Server::Postgres, "postgres");
        let ((), reads) = tokio::join!(postgres, read_for(OUTAGE, &reader, &path));
        assert!(reads.contains(&429), "reads need Postgres: {reads:?}");
        assert!(reads.iter().all(|status| matches!(status, 200 | 429)), "{reads:?}");
        let put_off = seen.count(Create, 429) + seen.count(Patch, 429);
        assert!(put_off > 0, "the first outage had no effect");

        seen.succeeds().await;
        // The broker may be slow to stop and slow to restart; reads are checked only for this long.
        let broker = outage(&stack, &balancer, Server::RabbitMq, "rabbitmq");
        let ((), reads) = tokio::join!(broker, read_for(OUTAGE, &reader, &path));
        assert!(reads.iter().all(|status| *status == 200), "reads need no broker: {reads:?}");
        assert!(
            seen.count(Create, 429) + seen.count(Patch, 429) > put_off,
            "the second outage had no effect"
        );
    };
    let mut people = under_load(&tenant, &balancer.origin(), &seen, outages).await;
    seen.judge();
    people.push(Pushed { user_name: "reader@balanced.example".to_owned(), answer: read });
    check::all_arrived_once(&stack, &tenant, &witness, &people).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_ingest_gets_no_more_requests_and_clients_do_not_notice() {
    // Longer than necessary, so that there is a time in which it still works but gets no requests.
    let environment = vec![("ROLLCALL_DRAIN", "5".to_owned())];
    let stack = Stack::start(Options { ingests: 2, environment, ..Options::default() }).await;
    let balancer = HaProxy::start(&stack).await;
    let tenant = stack.tenant("leaving-balanced").await;
    let okta = tenant.okta_at(&balancer.origin());
    let seen = Seen::default();
    let leaves = async {
        for (number, ingest) in stack.ingests.iter().enumerate() {
            let before = balancer.times_out(number);
            ingest.signal("TERM");
            balancer.takes_out(number, before).await;
            // Requests that were sent to it before are answered.
            let answered = || ingest.log().matches("\"answered\"").count();
            let quiet = eventually("it has answered its requests", Duration::from_secs(5), async || {
                let so_far = answered();
                tokio::time::sleep(Duration::from_millis(200)).await;
                (answered() == so_far).then_some(so_far)
            })
            .await;
            assert!(ingest.is_running(), "it drains for five seconds");
            let rest = holds_for(Duration::from_secs(1), async || answered() == quiet).await;
            assert!(rest, "the balancer sends requests to a draining ingest");
            // Waits for its exit without a second signal, which would shorten the drain.
            eventually("it has exited", Duration::from_secs(40), async || {
                (!ingest.is_running()).then_some(())
            })
            .await;
            assert!(ingest.revive());
            ingest.ready().await;
            balancer.takes_in(number, 0).await;
        }
    };
    under_load(&tenant, &balancer.origin(), &seen, leaves).await;
    seen.judge();

    // Without any ingest the balancer answers as ingest would.
    for ingest in &stack.ingests {
        ingest.terminate().await;
    }
    let body = person("later@leaving-balanced.example", "La", "Ter").to_string();
    let refused = okta.once(okta.request("POST", "/Users").body(body)).await.is_error(429);
    assert!(refused.retry_after() > 0);
    assert!(refused.detail().contains("nothing was changed"), "{}", refused.detail());
}

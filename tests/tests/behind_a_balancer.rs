//! Two ingests behind HAProxy, with the file that operators are given, under load: what is behind the ingests goes away, an
//! ingest leaves, and clients see 2xx and 429 and nothing else.

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

/// How long each server is away.
const OUTAGE: Duration = Duration::from_secs(30);
/// How many clients there are.
const CLIENTS: usize = 8;
/// Clients of this test come back sooner than they are told, so that there is a load during an outage.
const PAUSE: Duration = Duration::from_millis(300);

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Create,
    Patch,
    Read,
    List,
}

use Kind::{Create, List, Patch, Read};

/// What all clients have seen.
#[derive(Default)]
struct Seen {
    answers: Mutex<BTreeMap<(Kind, u16), usize>>,
    wrong: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Seen {
    /// How often so far.
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

    /// Each kind of request succeeds, from now on.
    async fn succeeds(&self) {
        for (kind, status) in [(Create, 201), (Patch, 200), (Read, 200), (List, 200)] {
            let before = self.count(kind, status);
            eventually(format!("{kind:?} succeeds"), Duration::from_secs(60), async || {
                (self.count(kind, status) > before + CLIENTS).then_some(())
            })
            .await;
        }
    }

    /// All that was answered was 2xx or a proper 429, and no connection broke.
    fn judge(&self) {
        println!("answers: {:?}", self.answers.lock().unwrap());
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{} answers that nobody may see: {:#?}", wrong.len(), wrong.first());
    }
}

/// What is wrong with an answer.
fn complaint(answer: &Answer) -> Option<String> {
    match answer.status {
        200..=299 => None,
        429 => {
            let seconds = answer.header("retry-after").parse::<u64>();
            let is_scim = answer.header("content-type").starts_with("application/scim+json")
                && answer.body["status"] == "429"
                && !answer.detail().is_empty();
            (seconds.is_err() || !is_scim).then(|| format!("a 429 as Okta does not take it: {answer:?}"))
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
    /// Repeats a request until it is answered by something else than 429; `None` if no answer came.
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

    /// Makes people, changes them, reads them and lists them, until it is told to stop. Returns the people.
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

/// Lets the clients work while something happens; returns the people whom they made.
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

/// A server is away for a while: every service says so and stays ready, and the balancer keeps both ingests.
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

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_2xx_and_429_alone_while_postgresql_and_then_rabbitmq_are_away() {
    let servers = Servers::own().await;
    let stack =
        Stack::start(Options { ingests: 2, workers: 2, servers: Some(servers), ..Options::default() }).await;
    let balancer = HaProxy::start(&stack).await;
    let tenant = stack.tenant("balanced").await;
    let witness = stack.broker().await.witness().await;
    let seen = Seen::default();
    let outages = async {
        outage(&stack, &balancer, Server::Postgres, "postgres").await;
        let put_off = seen.count(Create, 429) + seen.count(Patch, 429);
        assert!(put_off > 0, "the first outage was not felt");
        assert!(seen.count(Read, 429) + seen.count(List, 429) > 0, "no read was put off");

        seen.succeeds().await;
        let reader = Client { okta: tenant.okta_at(&balancer.origin()), seen: &seen };
        let id = reader.okta.create(&person("reader@balanced.example", "Re", "Ader")).await.is(201);
        let reads = async {
            let path = format!("/Users/{}", id.id());
            // The broker may take its time to stop, and longer to come back than until it is asked for.
            let end = Instant::now() + OUTAGE;
            let mut refused = Vec::new();
            while Instant::now() < end {
                let answer = reader.okta.once(reader.okta.request("GET", &path)).await;
                if answer.status != 200 {
                    refused.push(answer.status);
                }
                tokio::time::sleep(PAUSE).await;
            }
            assert!(refused.is_empty(), "reads need no broker: {refused:?}");
        };
        tokio::join!(outage(&stack, &balancer, Server::RabbitMq, "rabbitmq"), reads);
        assert!(seen.count(Create, 429) + seen.count(Patch, 429) > put_off, "the second outage was not felt");
        vec![Pushed { user_name: "reader@balanced.example".to_owned(), answer: id }]
    };
    let made = Mutex::new(Vec::new());
    let outages = async {
        let pushed = outages.await;
        made.lock().unwrap().extend(pushed);
    };
    let mut people = under_load(&tenant, &balancer.origin(), &seen, outages).await;
    seen.judge();
    people.append(&mut made.lock().unwrap());
    check::all_arrived_once(&stack, &tenant, &witness, &people).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_that_leaves_gets_no_more_requests_and_clients_do_not_notice() {
    // Longer than it needs, so that there is a time in which it still works and is not asked.
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
            // What was sent to it before is answered.
            let answered = || ingest.log().matches("\"answered\"").count();
            let quiet = eventually("it has answered all that it has", Duration::from_secs(5), async || {
                let so_far = answered();
                tokio::time::sleep(Duration::from_millis(200)).await;
                (answered() == so_far).then_some(so_far)
            })
            .await;
            assert!(ingest.is_running(), "it leaves for five seconds");
            let rest = holds_for(Duration::from_secs(1), async || answered() == quiet).await;
            assert!(rest, "the balancer sends requests to an ingest that is leaving");
            // Waits for its end: the second signal would shorten its drain.
            eventually("it has left", Duration::from_secs(40), async || (!ingest.is_running()).then_some(()))
                .await;
            assert!(ingest.revive());
            ingest.ready().await;
            balancer.takes_in(number, 0).await;
        }
    };
    under_load(&tenant, &balancer.origin(), &seen, leaves).await;
    seen.judge();

    // Nobody is left: the balancer answers as ingest would.
    for ingest in &stack.ingests {
        ingest.terminate().await;
    }
    let body = person("later@leaving-balanced.example", "La", "Ter").to_string();
    let refused = okta.once(okta.request("POST", "/Users").body(body)).await.is_error(429);
    assert!(refused.retry_after() > 0);
    assert!(refused.detail().contains("nothing was changed"), "{}", refused.detail());
}

//! All services are restarted one after the other, under load and behind a balancer: no request fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::load::{Pushed, push_for, somebody};
use tests::okta::person;
use tests::process::{Service, ended_well};
use tests::stack::Options;
use tests::{Okta, Stack, check, eventually, holds_for};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::postgres_away::only_answers_okta_understands;

/// How often the balancer polls readiness.
const POLL: Duration = Duration::from_millis(200);

/// A server behind the balancer.
struct Backend {
    port: u16,
    is_ready: AtomicBool,
}

/// Forwards connections to ready servers, round-robin. Dropping it closes all its connections.
struct Balancer {
    address: SocketAddr,
    backends: Arc<Vec<Backend>>,
    _tasks: JoinSet<()>,
}

impl Balancer {
    async fn start(services: &[Service]) -> Self {
        let backend = |service: &Service| Backend { port: service.port(), is_ready: AtomicBool::new(true) };
        let backends: Arc<Vec<_>> = Arc::new(services.iter().map(backend).collect());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, backends.clone()));
        for index in 0..backends.len() {
            tasks.spawn(poll(backends.clone(), index));
        }
        Self { address, backends, _tasks: tasks }
    }

    /// Waits until it has noticed whether this server is ready.
    async fn sees(&self, index: usize, is_ready: bool) {
        let what = format!("the balancer sees that server {index} is ready: {is_ready}");
        eventually(what, Duration::from_secs(20), async || {
            (self.backends[index].is_ready.load(Ordering::SeqCst) == is_ready).then_some(())
        })
        .await;
    }
}

async fn accept(listener: TcpListener, backends: Arc<Vec<Backend>>) {
    let turn = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let (backends, turn) = (backends.clone(), turn.clone());
        connections.spawn(async move {
            for _ in 0..backends.len() {
                let backend = &backends[turn.fetch_add(1, Ordering::SeqCst) % backends.len()];
                if !backend.is_ready.load(Ordering::SeqCst) {
                    continue;
                }
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", backend.port)).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
            }
        });
    }
}

async fn poll(backends: Arc<Vec<Backend>>, index: usize) {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{}/readyz", backends[index].port);
    loop {
        let is_ready = http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success());
        backends[index].is_ready.store(is_ready, Ordering::SeqCst);
        tokio::time::sleep(POLL).await;
    }
}

/// Stops a service with SIGTERM and starts it again.
async fn restart(service: &Service) {
    let status = service.terminate().await;
    assert!(ended_well(status), "{} ended with {status}", service.name());
    service.start();
    service.ready().await;
}

/// Changes one user repeatedly; returns the last acknowledged title.
async fn change(okta: &Okta, id: &str, stop: &AtomicBool) -> String {
    let mut title = String::new();
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        title = format!("Title {n}");
        okta.patch(id, json!([{ "op": "replace", "path": "title", "value": title }])).await.is(200);
    }
    title
}

#[tokio::test(flavor = "multi_thread")]
async fn all_services_are_restarted_under_load_and_no_request_fails() {
    let stack = Stack::start(Options { ingests: 2, workers: 2, ..Options::default() }).await;
    let balancer = Balancer::start(&stack.ingests).await;
    let tenant = stack.tenant("rolling").await;
    let okta = tenant.okta_at(&format!("http://{}", balancer.address));
    let witness = stack.broker().await.witness().await;
    let user = somebody("veterans", 0);
    let veteran =
        Pushed { user_name: user["userName"].as_str().unwrap().to_owned(), answer: okta.create(&user).await };
    let (id, stop) = (veteran.answer.id(), AtomicBool::new(false));
    let restarts = async {
        let began = Instant::now();
        for (index, ingest) in stack.ingests.iter().enumerate() {
            restart(ingest).await;
            balancer.sees(index, true).await;
        }
        for service in stack.workers.iter().chain([&stack.notifier]) {
            restart(service).await;
        }
        println!("all services were restarted in {:?}", began.elapsed());
        stop.store(true, Ordering::SeqCst);
    };
    let push = push_for(&okta, "rolling", Duration::from_secs(12), 12);
    let (mut pushed, title, ()) = tokio::join!(push, change(&okta, &id, &stop), restarts);
    only_answers_okta_understands(&okta);
    assert_eq!(
        okta.user(&id).await.is(200).body["title"],
        json!(title),
        "the last change that was acknowledged"
    );
    pushed.push(veteran);
    check::all_arrived_once(&stack, &tenant, &witness, &pushed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_ingest_reports_not_ready_and_works_until_the_second_signal() {
    let environment = vec![("ROLLCALL_DRAIN", "30".to_owned())];
    let stack = Stack::start(Options { environment, ..Options::default() }).await;
    let okta = stack.tenant("leaving").await.okta();
    let ingest = &stack.ingests[0];
    okta.create(&person("before@leaving.example", "Be", "Fore")).await.is(201);
    ingest.signal("TERM");
    eventually("it reports that it is not ready", Duration::from_secs(5), async || {
        (!ingest.is_ready().await).then_some(())
    })
    .await;
    let works = holds_for(Duration::from_secs(1), async || {
        let answer = okta.get("/Users?count=1").await;
        answer.status == 200 && answer.header("connection") == "close"
    });
    assert!(works.await, "it does not answer any more, or does not send Connection: close");
    okta.create(&person("leaving@leaving.example", "Lea", "Ving")).await.is(201);
    let began = Instant::now();
    assert!(ended_well(ingest.terminate().await));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

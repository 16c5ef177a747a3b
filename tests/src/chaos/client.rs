//! A tenant's identity provider and content service behind a balancer: repeats a 429 as Okta does, goes to an ingest that
//! says that it is ready, or is refused by the balancer if none does, and notes every answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::json;
use tokio::task::JoinHandle;

use super::board::Board;
use super::history::Subject;
use super::spec::{Op, Ret};
use crate::answer::Answer;
use crate::okta::Okta;

/// Okta tries a request that is answered 429 this often again.
pub const TRIES: u32 = 10;
/// Okta doubles the pause without end; this one gets to know sooner.
const LONGEST_PAUSE: Duration = Duration::from_millis(2_500);
/// How often the balancer asks who is ready.
const POLL: Duration = Duration::from_millis(100);
/// What a 429 says after which nothing will have happened.
const NOTHING: [&str; 2] = ["nothing was changed", "this one was not"];
/// What a 429 says after which there will be a verdict.
const QUEUED: &str = "the change is queued";

/// Knows which ingests are ready, as a load balancer does: by asking them.
pub struct Balancer {
    ready: Vec<AtomicBool>,
}

impl Balancer {
    /// Starts to ask these.
    #[must_use]
    pub fn start(origins: Vec<String>) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        let balancer = Arc::new(Self { ready: origins.iter().map(|_| AtomicBool::new(true)).collect() });
        let asking = origins.into_iter().enumerate().map(|(n, origin)| {
            let balancer = balancer.clone();
            tokio::spawn(async move {
                let client =
                    reqwest::Client::builder().timeout(Duration::from_secs(1)).no_proxy().build().unwrap();
                loop {
                    let asked = client.get(format!("{origin}/readyz")).send().await;
                    let is_ready = asked.is_ok_and(|answer| answer.status().is_success());
                    balancer.ready[n].store(is_ready, Ordering::SeqCst);
                    tokio::time::sleep(POLL).await;
                }
            })
        });
        let asking = asking.collect();
        (balancer, asking)
    }

    /// One that is ready, if one is.
    fn pick(&self) -> Option<usize> {
        let ready: Vec<usize> =
            (0..self.ready.len()).filter(|n| self.ready[*n].load(Ordering::SeqCst)).collect();
        (!ready.is_empty()).then(|| ready[rand::random_range(0..ready.len())])
    }
}

/// What the balancer answers itself when no ingest is ready, as `deploy/haproxy.cfg` has it: nobody has seen the request.
fn refusal() -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    let body = json!({ "detail": "no server is ready: nothing was changed; try again" });
    Answer::new(429, headers, body.to_string())
}

/// What came of a request.
pub enum Heard {
    /// An answer.
    Answer(Answer),
    /// None: the connection broke, and nobody knows.
    Nothing,
}

/// The client of one tenant.
pub struct Client {
    /// One connection pool an ingest.
    pub oktas: Vec<Okta>,
    /// Who is ready.
    pub balancer: Arc<Balancer>,
    /// Where every answer is noted.
    pub board: Arc<Board>,
}

impl Client {
    /// Sends a request once, to an ingest that is ready and takes connections.
    pub async fn send(&self, request: &impl Fn(&Okta) -> RequestBuilder) -> Heard {
        loop {
            let Some(ingest) = self.balancer.pick() else {
                self.board.answered(429);
                return Heard::Answer(refusal());
            };
            let (okta, began) = (&self.oktas[ingest], Instant::now());
            match okta.attempt(request(okta)).await {
                Ok(answer) => {
                    self.board.answered(answer.status);
                    if answer.status == 429 && answer.detail().contains(QUEUED) {
                        self.board.queued(answer.header("x-request-id"));
                    }
                    return Heard::Answer(answer);
                }
                // Nobody has seen the request: a balancer tries elsewhere.
                Err(error) if error.is_connect() => tokio::time::sleep(POLL).await,
                Err(error) => {
                    self.board.broke(ingest, began, &format!("{error:?}"));
                    return Heard::Nothing;
                }
            }
        }
    }

    /// A read, repeated until it is answered, and noted as what `seen` makes of the answer.
    pub async fn read(
        &self,
        subject: &Subject,
        op: Op,
        request: impl Fn(&Okta) -> RequestBuilder,
        seen: impl Fn(&Answer) -> Ret,
    ) -> Option<Answer> {
        for tries in 0..=TRIES {
            let call = subject.ask(op);
            match self.send(&request).await {
                Heard::Answer(answer) if answer.status == 429 => {
                    subject.answer(call, Ret::Nothing);
                    pause(&answer, tries).await;
                }
                Heard::Answer(answer) => {
                    subject.answer(call, seen(&answer));
                    return Some(answer);
                }
                // A read that nobody saw explains itself.
                Heard::Nothing => subject.answer(call, Ret::Nothing),
            }
        }
        None
    }

    /// A change, repeated while the answer is 429, but not more often than so. Each try is a change of its own; those of a create
    /// are one, since it is promised that they make one resource.
    pub async fn change(
        &self,
        subject: &Subject,
        op: Op,
        most: u32,
        request: impl Fn(&Okta) -> RequestBuilder,
        done: impl Fn(&Answer, bool) -> Ret,
    ) -> Option<Answer> {
        let is_create = matches!(op, Op::Create { .. } | Op::CreateGroup);
        let (mut call, mut may_be_queued) = (subject.ask(op), false);
        for tries in 0..=most {
            match self.send(&request).await {
                Heard::Answer(answer) if answer.status == 429 => {
                    let is_nothing = NOTHING.iter().any(|words| answer.detail().contains(words));
                    may_be_queued |= !is_nothing;
                    if tries < most {
                        pause(&answer, tries).await;
                    }
                    if is_create && tries < most {
                        continue;
                    }
                    subject.answer(call, if may_be_queued { Ret::Unknown } else { Ret::Nothing });
                    if tries < most {
                        (call, may_be_queued) = (subject.ask(op), false);
                    }
                }
                Heard::Answer(answer) => {
                    if answer.status < 300 {
                        self.board.acknowledged(answer.header("x-request-id"));
                    }
                    subject.answer(call, done(&answer, tries == 0));
                    return Some(answer);
                }
                Heard::Nothing => {
                    subject.answer(call, Ret::Unknown);
                    return None;
                }
            }
        }
        None
    }

    /// Any request, repeated until it is answered by something else than 429; `None` after ten tries.
    pub async fn insist(&self, request: impl Fn(&Okta) -> RequestBuilder) -> Option<Answer> {
        for tries in 0..=TRIES {
            match self.send(&request).await {
                Heard::Answer(answer) if answer.status == 429 => pause(&answer, tries).await,
                Heard::Answer(answer) => return Some(answer),
                Heard::Nothing => {}
            }
        }
        None
    }
}

/// As long as Okta would wait, or less.
async fn pause(answer: &Answer, tries: u32) {
    let told = Duration::from_secs(answer.retry_after() << tries);
    let part = rand::random_range(0.5..1.0);
    tokio::time::sleep(told.min(LONGEST_PAUSE).mul_f64(part)).await;
}

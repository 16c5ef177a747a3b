//! A tenant's identity provider and content service behind a load balancer. Repeats a 429 as Okta does, picks an ingest
//! that reports ready (without one the balancer answers 429), and records every answer.

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

/// How often Okta retries a request that is answered 429.
pub const TRIES: u32 = 10;
/// Okta doubles the pause without limit; this client is capped.
const LONGEST_PAUSE: Duration = Duration::from_millis(2_500);
/// How often the balancer polls readiness.
const POLL: Duration = Duration::from_millis(100);
/// Texts of a 429 after which the change does not happen.
const NOTHING: [&str; 2] = ["nothing was changed", "this one was not"];
/// The text of a 429 after which the change gets a verdict.
const QUEUED: &str = "the change is queued";

/// Polls the readiness of the ingests, as a load balancer does.
pub struct Balancer {
    ready: Vec<AtomicBool>,
}

impl Balancer {
    /// Starts polling these ingests.
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

    /// A random ready ingest, if there is one.
    fn pick(&self) -> Option<usize> {
        let ready: Vec<usize> =
            (0..self.ready.len()).filter(|n| self.ready[*n].load(Ordering::SeqCst)).collect();
        (!ready.is_empty()).then(|| ready[rand::random_range(0..ready.len())])
    }
}

/// The balancer's own answer when no ingest is ready, as in `deploy/haproxy.cfg`: no ingest received the request.
fn refusal() -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    let body = json!({ "detail": "no server is ready; nothing was changed; try again" });
    Answer::new(429, headers, body.to_string())
}

/// The outcome of a request.
pub enum Heard {
    /// An answer.
    Answer(Answer),
    /// The connection broke; the outcome is unknown.
    Nothing,
}

/// The client of one tenant.
pub struct Client {
    /// One connection pool per ingest.
    pub oktas: Vec<Okta>,
    /// Selects a ready ingest.
    pub balancer: Arc<Balancer>,
    /// Records every answer.
    pub board: Arc<Board>,
}

impl Client {
    /// Sends a request once, to a ready ingest that accepts the connection.
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
                // No ingest received the request, so a balancer tries another one.
                Err(error) if error.is_connect() => tokio::time::sleep(POLL).await,
                Err(error) => {
                    self.board.broke(ingest, began, &format!("{error:?}"));
                    return Heard::Nothing;
                }
            }
        }
    }

    /// Repeats a read until it is answered, and records it as what `seen` makes of the answer.
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
                // A read without an answer constrains nothing.
                Heard::Nothing => subject.answer(call, Ret::Nothing),
            }
        }
        None
    }

    /// Repeats a change while the answer is 429, at most `most` times. Each attempt is recorded as a separate change,
    /// except for creates: repeated creates are promised to make one resource.
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

    /// Repeats any request until the answer is not 429; `None` after ten retries.
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

/// Waits as long as Okta would, up to the cap.
async fn pause(answer: &Answer, tries: u32) {
    let asked_for = Duration::from_secs(answer.retry_after() << tries);
    let part = rand::random_range(0.5..1.0);
    tokio::time::sleep(asked_for.min(LONGEST_PAUSE).mul_f64(part)).await;
}

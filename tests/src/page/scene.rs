//! Runs a page: sends the requests and collects the answers, rows, events and mails.

use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use super::block::{Block, Kind};
use super::names::Names;
use super::show;
use crate::answer::Answer;
use crate::broker::{Broker, Witness};
use crate::db::Db;
use crate::mailbox::{Mail, Mailbox};
use crate::stack::Stack;
use crate::{eventually, holds_for};

/// The timeout for what the page expects.
const COMES: Duration = Duration::from_secs(10);
/// How long to wait for something that must not happen.
const SILENCE: Duration = Duration::from_millis(700);

/// The state of a run.
pub struct Scene {
    names: Names,
    recording: bool,
    http: reqwest::Client,
    origin: String,
    headers: Vec<(String, String)>,
    answer: Option<Answer>,
    db: Db,
    broker: Broker,
    witness: Witness,
    tenant: String,
    events: Vec<Value>,
    mailbox: Mailbox,
    mails_read: usize,
}

impl Scene {
    /// Creates the tenant, and binds the predefined names.
    pub async fn new(stack: &Stack, tenant: &str, page: &str, recording: bool) -> Self {
        let made = stack.tenant(tenant).await;
        let broker = stack.broker().await;
        let mut names = Names::of(page);
        let (username, key) = (&made.key.username, &made.key.api_key);
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{key}"));
        names.bind("<base>", &format!("{}/scim/v2", stack.origin()));
        names.bind("<basic>", &basic);
        names.bind("<key>", key);
        names.bind("<tenant>", &made.id.to_string());
        Self {
            names,
            recording,
            http: reqwest::Client::builder().no_proxy().build().expect("the settings are constant"),
            origin: stack.origin(),
            headers: Vec::new(),
            answer: None,
            db: stack.db(),
            witness: broker.witness().await,
            broker,
            tenant: tenant.to_owned(),
            events: Vec::new(),
            mailbox: stack.mailbox(),
            mails_read: 0,
        }
    }

    /// Runs a block; returns the actual text for a block with an expectation.
    ///
    /// # Panics
    /// If the block is invalid, or there is no answer, event or mail.
    pub async fn perform(&mut self, block: &Block, said: &str) -> Option<String> {
        let place = format!("line {}", block.line);
        match block.kind {
            Kind::Headers => {
                self.headers = said.lines().map(|line| header(&self.names.fill(line))).collect();
                None
            }
            Kind::Request => {
                assert!(self.answer.is_none(), "{place}: the page has no block for the last answer");
                self.answer = Some(self.send(&self.names.fill(said)).await);
                None
            }
            Kind::Answer => {
                let answer =
                    self.answer.take().unwrap_or_else(|| panic!("{place}: an answer without a request"));
                Some(show::answer(&mut self.names, &answer, said))
            }
            Kind::Row => Some(self.rows(said).await),
            Kind::Event => Some(self.events(said, &place).await),
            Kind::Mail => Some(self.mail(said, &place).await),
        }
    }

    async fn send(&self, request: &str) -> Answer {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let mut lines = head.lines();
        let (method, target) = lines
            .next()
            .and_then(|line| line.split_once(' '))
            .expect("a request begins with method and target");
        let own: Vec<_> = lines.map(header).collect();
        let inherited = self.headers.iter().filter(|(name, _)| !own.iter().any(|(o, _)| o == name));
        let mut request = self.http.request(
            method.parse().expect("the method is one"),
            format!("{}{}", self.origin, encode(target)),
        );
        for (name, value) in inherited.chain(&own) {
            request = request.header(name, value);
        }
        let response =
            request.body(body.to_owned()).send().await.unwrap_or_else(|e| panic!("no answer: {e:?}"));
        Answer::read(response).await.unwrap_or_else(|e| panic!("no whole answer: {e:?}"))
    }

    /// The query and its rows, once they match the page or the timeout has passed.
    async fn rows(&mut self, said: &str) -> String {
        let (query, said_rows) = said.split_once("\n\n").unwrap_or((said, ""));
        let query = query.trim_end();
        let end = std::time::Instant::now() + if self.recording { SILENCE * 3 } else { COMES };
        let sql = self.names.fill(query);
        eventually("the rows", COMES * 2, async || {
            let rows = self.db.rows(&sql).await;
            let mut names = self.names.clone();
            let shown = show::table(&mut names, &rows, said_rows);
            let done = shown == said_rows.trim_end() || std::time::Instant::now() > end;
            done.then(|| {
                self.names = names;
                format!("{query}\n\n{shown}")
            })
        })
        .await
    }

    /// The tenant's events since the last block, waiting for as many as the page expects.
    async fn events(&mut self, said: &str, place: &str) -> String {
        let expected = said.lines().filter(|line| line.starts_with('{')).count();
        if expected == 0 || self.recording {
            holds_for(SILENCE * 2, async || {
                self.witness().await;
                true
            })
            .await;
        }
        let least = if self.recording { 0 } else { expected };
        eventually(format!("{place}: {expected} events"), COMES, async || {
            self.witness().await;
            (self.events.len() >= least).then_some(())
        })
        .await;
        let events = std::mem::take(&mut self.events);
        show::events(&mut self.names, &events, said)
    }

    async fn witness(&mut self) {
        let events = self.witness.events(&self.broker).await;
        self.events.extend(events.into_iter().filter(|event| event["tenant"] == *self.tenant));
    }

    fn mails(&self) -> Vec<Mail> {
        let mut mails = self.mailbox.mails();
        mails.retain(|mail| mail.to.ends_with(&format!("@{}.example", self.tenant)));
        mails
    }

    async fn mail(&mut self, said: &str, place: &str) -> String {
        let next = || self.mails().into_iter().nth(self.mails_read);
        let silent = self.recording || said.trim_end() == "no mail";
        let mail = if silent && holds_for(SILENCE, async || next().is_none()).await {
            None
        } else {
            Some(eventually(format!("{place}: a mail"), COMES, async || next()).await)
        };
        self.mails_read += usize::from(mail.is_some());
        show::mail(&mut self.names, mail.as_ref(), said)
    }

    /// At the end: checks that there are no events, mails or answers that the page does not mention.
    ///
    /// # Errors
    /// Describes the first one.
    pub async fn nothing_else(&mut self) -> Result<(), String> {
        if self.answer.is_some() {
            return Err("the page has no block for the last answer".to_owned());
        }
        holds_for(SILENCE, async || {
            self.witness().await;
            true
        })
        .await;
        if let Some(event) = self.events.first() {
            return Err(format!("an event that the page does not mention: {}", show::json(event)));
        }
        match self.mails().get(self.mails_read) {
            Some(mail) => Err(format!("a mail that the page does not mention:\n{}", mail.raw)),
            None => Ok(()),
        }
    }
}

fn header(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
    (name.to_owned(), value.to_owned())
}

/// Percent-encodes the characters of a target that are not allowed in a URL.
fn encode(target: &str) -> String {
    let plain = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
    target.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

//! The load on users: created, changed by one or two clients at a time, deactivated, reactivated, renamed, looked up,
//! and finally assigned some content.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::STEPS;
use super::client::{Client, TRIES};
use super::history::Subject;
use super::spec::{Op, Ret, Thing, User};
use crate::answer::Answer;
use crate::content::ONE;
use crate::okta::{Okta, PATCH_OP, encode, person};

/// The number of different names that a user may have.
const NAMES: u32 = 1_000;
/// How often, and with which pauses, the provider checks whether a POST that it gave up took effect anyway.
const LOOKS: usize = 20;
const LOOK: Duration = Duration::from_millis(250);

/// A user, as an identity provider knows them.
pub struct Person {
    /// The recorded history.
    pub subject: Subject,
    /// Its number in the run.
    pub number: usize,
    /// The tenant's name.
    pub company: String,
    /// The id, once it is known.
    pub id: Option<String>,
    /// The mail address, if content was assigned; and whether the event was acknowledged.
    pub assigned: Option<(String, bool)>,
    values: AtomicU32,
    /// The name, title and nickName of the last POST.
    posted: Option<(u32, u32, u32)>,
}

/// A user after its sequence.
pub type Lived = Arc<Person>;

impl Person {
    /// A new user.
    #[must_use]
    pub fn new(company: &str, number: usize) -> Self {
        Self {
            subject: Subject::new(format!("user {number} of {company}")),
            number,
            company: company.to_owned(),
            id: None,
            assigned: None,
            values: AtomicU32::new(1),
            posted: None,
        }
    }

    /// A value that this user has never had.
    fn value(&self) -> u32 {
        self.values.fetch_add(1, Ordering::SeqCst)
    }

    /// The userName with this number.
    fn name(&self, name: u32) -> String {
        format!("p{}-{name}@{}.example", self.number, self.company)
    }

    /// The externalId, which never changes.
    #[must_use]
    pub fn external_id(&self) -> String {
        format!("00u-{}-{}", self.company, self.number)
    }

    fn body(&self, name: u32, title: u32, nick: u32) -> Value {
        let mut user = person(&self.name(name), "Pat", &format!("Number {}", self.number));
        user["externalId"] = json!(self.external_id());
        user["title"] = json!(title.to_string());
        user["nickName"] = json!(nick.to_string());
        user
    }

    /// The user's state in an answer.
    fn seen(&self, user: &Value) -> Option<Thing> {
        let number = |name: &str| user[name].as_str()?.parse().ok();
        let version =
            user["meta"]["version"].as_str()?.chars().filter(char::is_ascii_digit).collect::<String>();
        let name = user["userName"].as_str()?.split(['-', '@']).nth(1)?.parse().ok()?;
        Some(Thing::User(User {
            name,
            title: number("title")?,
            nick: number("nickName")?,
            active: user["active"].as_bool()?,
            version: version.parse().ok()?,
        }))
    }

    /// The recorded outcome of a change. An answer to a repeated create shows the current state, so it is not exact.
    fn done(&self, answer: &Answer, is_exact: bool) -> Ret {
        match answer.status {
            200 | 201 => Ret::Done(if is_exact { self.seen(&answer.body) } else { None }),
            404 => Ret::Missing,
            409 => Ret::Conflict,
            _ => Ret::Unknown,
        }
    }

    async fn create(&mut self, client: &Client, name: u32) {
        let posted = (name, self.value(), self.value());
        self.post(client, posted, TRIES).await;
    }

    /// Sends a POST, with at most `most` retries. An answer of 201 must show an active user.
    async fn post(&mut self, client: &Client, posted: (u32, u32, u32), most: u32) {
        self.posted = Some(posted);
        let (name, title, nick) = posted;
        let body = self.body(name, title, nick).to_string();
        let request = |okta: &Okta| okta.request("POST", "/Users").body(body.clone());
        let op = Op::Create { name, title, nick };
        let answer =
            client.change(&self.subject, op, most, request, |answer, first| self.done(answer, first)).await;
        if answer.as_ref().is_some_and(|answer| answer.status == 201 && answer.body["active"] != true) {
            client
                .board
                .violation(format!("a POST was answered 201 although {} is archived", self.subject.name));
        }
        self.note_id(client, answer.filter(|answer| answer.status == 201));
    }

    /// Records the id; it must never change.
    fn note_id(&mut self, client: &Client, answer: Option<Answer>) {
        let Some(id) = answer.and_then(|answer| answer.body["id"].as_str().map(str::to_owned)) else {
            return;
        };
        match &self.id {
            Some(known) if *known != id => {
                client.board.violation(format!("{} has two ids", self.subject.name));
            }
            _ => self.id = Some(id),
        }
    }

    /// Sends a PATCH; returns whether it was answered.
    async fn set(&self, client: &Client, fields: &Value, op: Op, most: u32) -> bool {
        let Some(id) = &self.id else { return true };
        let body = json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "value": fields }] })
            .to_string();
        let request = |okta: &Okta| okta.request("PATCH", &format!("/Users/{id}")).body(body.clone());
        client.change(&self.subject, op, most, request, |answer, _| self.done(answer, true)).await.is_some()
    }

    /// Changes one attribute. Every second time, instead of retrying, the client sends a different change; the
    /// abandoned one may still be queued and must not override it.
    async fn set_one(&self, client: &Client, choice: u32) {
        let most = if choice.is_multiple_of(2) { 0 } else { TRIES };
        if !self.set_anew(client, choice, most).await {
            self.set_anew(client, choice, TRIES).await;
        }
    }

    async fn set_anew(&self, client: &Client, choice: u32, most: u32) -> bool {
        let (value, mut fields) = (self.value(), json!({}));
        let op = match choice % 5 {
            0 | 1 => {
                fields["title"] = json!(value.to_string());
                Op::Set { name: None, title: Some(value), nick: None, active: None }
            }
            2 | 3 => {
                fields["nickName"] = json!(value.to_string());
                Op::Set { name: None, title: None, nick: Some(value), active: None }
            }
            _ => {
                fields["userName"] = json!(self.name(value % NAMES));
                Op::Set { name: Some(value % NAMES), title: None, nick: None, active: None }
            }
        };
        self.set(client, &fields, op, most).await
    }

    async fn set_active(&self, client: &Client, active: bool) {
        let op = Op::Set { name: None, title: None, nick: None, active: Some(active) };
        self.set(client, &json!({ "active": active }), op, TRIES).await;
    }

    /// A profile update: GET, then PUT of the received representation with the changes merged in.
    async fn put(&self, client: &Client) {
        let Some(answer) = self.read(client).await.filter(|answer| answer.status == 200) else { return };
        let Some(Thing::User(seen)) = self.seen(&answer.body) else { return };
        let mut body = answer.body;
        let (title, id) = (self.value(), self.id.clone().unwrap_or_default());
        body["title"] = json!(title.to_string());
        let body = body.to_string();
        let op = Op::Set {
            name: Some(seen.name),
            title: Some(title),
            nick: Some(seen.nick),
            active: Some(seen.active),
        };
        let request = |okta: &Okta| okta.request("PUT", &format!("/Users/{id}")).body(body.clone());
        client.change(&self.subject, op, TRIES, request, |answer, _| self.done(answer, true)).await;
    }

    /// Reads the user by id.
    pub async fn read(&self, client: &Client) -> Option<Answer> {
        let id = self.id.as_ref()?;
        let request = |okta: &Okta| -> RequestBuilder { okta.request("GET", &format!("/Users/{id}")) };
        let seen = |answer: &Answer| match answer.status {
            200 => self.seen(&answer.body).map_or(Ret::Unknown, Ret::Seen),
            _ => Ret::Missing,
        };
        client.read(&self.subject, Op::Read, request, seen).await
    }

    /// The lookup before an assignment; records the id.
    async fn find(&mut self, client: &Client, name: u32) {
        let filter = encode(&format!("userName eq \"{}\"", self.name(name)));
        let request =
            |okta: &Okta| okta.request("GET", &format!("/Users?filter={filter}&startIndex=1&count=100"));
        let seen = |answer: &Answer| match answer.resources() {
            [] => Ret::Seen(Thing::Nothing),
            [user] => self.seen(user).map_or(Ret::Unknown, Ret::Seen),
            _ => Ret::Conflict,
        };
        let answer = client.read(&self.subject, Op::Find(name), request, seen).await;
        let found = answer.and_then(|answer| answer.resources().first().cloned());
        if let Some(user) = found {
            self.note_id(client, Some(Answer::new(200, reqwest::header::HeaderMap::new(), user.to_string())));
        }
    }

    /// Runs the sequence, except for its end.
    pub async fn live(mut self, client: &Client, rng: &mut StdRng) -> Self {
        let name = rng.random_range(0..NAMES);
        self.find(client, name).await;
        if rng.random_bool(0.3) {
            self.is_forgotten(client, name, rng.next_u32()).await;
        }
        // Like an admin who resubmits the task until it succeeds.
        while self.id.is_none() {
            self.create(client, name).await;
            if self.id.is_none() {
                self.find(client, name).await;
            }
        }
        for _ in 0..rng.random_range(STEPS) {
            self.step(client, rng.next_u32()).await;
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..150))).await;
        }
        self
    }

    async fn step(&mut self, client: &Client, choice: u32) {
        let more = choice / 18;
        match choice % 18 {
            0..=3 => self.set_one(client, more).await,
            // Two concurrent changes.
            4..=6 => {
                tokio::join!(self.set_one(client, more), self.set_one(client, more / 5));
            }
            7 => {
                tokio::join!(self.set_active(client, more.is_multiple_of(2)), self.set_one(client, more / 2));
            }
            8 | 9 => self.set_active(client, more.is_multiple_of(2)).await,
            10 => {
                tokio::join!(self.put(client), self.set_one(client, more));
            }
            11 => self.put(client).await,
            12 => {
                self.set_active(client, false).await;
                self.create(client, more % NAMES).await;
            }
            // The provider gives up after one or two attempts. Whatever the outcome, the user is then deactivated and
            // sent again by the same POST.
            13 => {
                self.set_active(client, false).await;
                let posted = (more % NAMES, self.value(), self.value());
                self.post(client, posted, more % 2).await;
                self.come_back(client, more / NAMES).await;
            }
            14 => self.find(client, more % NAMES).await,
            // The same POST again, long after it was answered.
            15 => self.come_back(client, more).await,
            16 => self.create(client, more % NAMES).await,
            _ => {
                self.read(client).await;
            }
        }
    }

    /// The provider tries a POST once and gives up. If it took effect anyway, the user is deactivated and sent again by
    /// the same POST.
    async fn is_forgotten(&mut self, client: &Client, name: u32, choice: u32) {
        let posted = (name, self.value(), self.value());
        self.post(client, posted, 0).await;
        for _ in 0..LOOKS {
            if self.id.is_some() {
                return self.come_back(client, choice).await;
            }
            tokio::time::sleep(LOOK).await;
            self.find(client, name).await;
        }
    }

    /// Possibly deactivates the user, then sends exactly the same POST as before, whose outcome may be unknown or long
    /// past.
    async fn come_back(&mut self, client: &Client, choice: u32) {
        if !choice.is_multiple_of(3) {
            self.set_active(client, false).await;
        }
        if let Some(posted) = self.posted {
            self.post(client, posted, TRIES).await;
        }
    }

    /// The end of the sequence: makes the user active, possibly assigns content, and reads a last time.
    pub async fn end(mut self, client: &Client, event: &Value, with_content: bool) -> Lived {
        self.set_active(client, true).await;
        let Some(answer) = self.read(client).await else { return Arc::new(self) };
        if !with_content || answer.body["active"] != true {
            return Arc::new(self);
        }
        let mut event = event.clone();
        event["data"]["user"]["id"] = answer.body["id"].clone();
        let event = event.to_string();
        let tell = |okta: &Okta| okta.at("/events").header("Content-Type", ONE).body(event.clone());
        let is_taken = client.insist(tell).await.is_some_and(|answer| answer.status == 202);
        let address = answer.body["emails"][0]["value"].as_str().map(str::to_owned);
        self.assigned = address.map(|address| (address, is_taken));
        Arc::new(self)
    }
}

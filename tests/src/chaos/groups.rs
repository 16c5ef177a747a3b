//! The load on groups: each is created empty, then members are added and removed, sometimes by two concurrent changes.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde_json::{Value, json};

use super::STEPS;
use super::client::{Client, TRIES};
use super::history::Subject;
use super::spec::{Group, Op, Ret, Thing};
use crate::answer::Answer;
use crate::okta::{Okta, PATCH_OP, group, members, membership};

/// A pushed group.
pub struct Pushed {
    /// The recorded history.
    pub subject: Subject,
    /// The displayName, which is unique.
    pub name: String,
    /// How often it may have been created: every POST without an answer may have succeeded.
    pub attempts: usize,
    people: Vec<String>,
    id: Option<String>,
}

impl Pushed {
    /// A new group whose members come from these users.
    #[must_use]
    pub fn new(company: &str, number: usize, people: Vec<String>) -> Self {
        Self {
            subject: Subject::new(format!("group {number} of {company}")),
            name: format!("Group {number} of {company}"),
            attempts: 0,
            people,
            id: None,
        }
    }

    /// Creates it; `false` if the outcome is unknown.
    async fn create(&mut self, client: &Client) -> bool {
        self.attempts += 1;
        let body = group(&self.name, &[]).to_string();
        let request = |okta: &Okta| okta.request("POST", "/Groups").body(body.clone());
        let answer =
            client.change(&self.subject, Op::CreateGroup, TRIES, request, |answer, _| done(answer)).await;
        self.id = answer.filter(|answer| answer.status == 201).map(|answer| answer.id());
        self.id.is_some()
    }

    async fn change(&self, client: &Client, op: Op, operations: Value) {
        let Some(id) = &self.id else { return };
        let body = json!({ "schemas": [PATCH_OP], "Operations": operations }).to_string();
        let request = |okta: &Okta| okta.request("PATCH", &format!("/Groups/{id}")).body(body.clone());
        client.change(&self.subject, op, TRIES, request, |answer, _| done(answer)).await;
    }

    async fn step(&self, client: &Client, choice: u32) {
        let all = u32::try_from((1_u64 << self.people.len()) - 1).unwrap();
        let mask = u16::try_from((choice / 4) & all).unwrap();
        let named: Vec<&str> = self
            .people
            .iter()
            .enumerate()
            .filter(|(bit, _)| mask >> bit & 1 == 1)
            .map(|(_, id)| id.as_str())
            .collect();
        match choice % 4 {
            0 | 1 if !named.is_empty() => self.change(client, Op::Join(mask), membership(&[], &named)).await,
            2 if !named.is_empty() => self.change(client, Op::Leave(mask), membership(&named, &[])).await,
            _ => {
                let replace = json!([{ "op": "replace", "path": "members", "value": members(&named) }]);
                self.change(client, Op::Exactly(mask), replace).await;
            }
        }
    }

    /// Reads the group with its members.
    pub async fn read(&self, client: &Client) {
        let Some(id) = &self.id else { return };
        let request = |okta: &Okta| okta.request("GET", &format!("/Groups/{id}"));
        client.read(&self.subject, Op::Read, request, |answer| self.seen(answer)).await;
    }

    fn seen(&self, answer: &Answer) -> Ret {
        let Some(version) = answer.body["meta"]["version"].as_str() else { return Ret::Missing };
        let version: String = version.chars().filter(char::is_ascii_digit).collect();
        let there: Vec<&str> = answer.body["members"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter_map(|member| member["value"].as_str())
            .collect();
        let bits = self.people.iter().enumerate().filter(|(_, id)| there.contains(&id.as_str()));
        let members = bits.fold(0, |mask, (bit, _)| mask | 1 << bit);
        version.parse().map_or(Ret::Unknown, |version| Ret::Seen(Thing::Group(Group { members, version })))
    }

    /// Runs the whole sequence.
    pub async fn live(mut self, client: &Client, rng: &mut StdRng) -> Self {
        if !self.create(client).await {
            return self;
        }
        for _ in 0..rng.random_range(STEPS) {
            let choice = rng.next_u32();
            match choice % 5 {
                0 => self.read(client).await,
                1 => {
                    tokio::join!(self.step(client, choice / 5), self.step(client, rng.next_u32()));
                }
                _ => self.step(client, choice / 5).await,
            }
            tokio::time::sleep(std::time::Duration::from_millis(rng.random_range(0..150))).await;
        }
        self.read(client).await;
        self
    }
}

/// The members in the answer to a change may be of a later version.
fn done(answer: &Answer) -> Ret {
    match answer.status {
        200 | 201 | 204 => Ret::Done(None),
        404 => Ret::Missing,
        _ => Ret::Unknown,
    }
}

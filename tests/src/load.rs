//! A push: many people over many connections, as when a company assigns everybody at once.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::answer::Answer;
use crate::okta::{Okta, person};

/// A person who was pushed and the last answer about it.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// Its userName.
    pub user_name: String,
    /// What was answered in the end.
    pub answer: Answer,
}

impl Pushed {
    /// Whether the account was acknowledged: as made just now, or, after a repeated request, as there already.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.answer.status == 201
    }
}

/// The n-th person of a push.
#[must_use]
pub fn somebody(company: &str, n: usize) -> Value {
    person(&format!("person-{n:05}@{company}.example"), "Pat", &format!("Number {n}"))
}

/// Creates `count` people over so many connections, with Okta's patience.
///
/// # Panics
/// When no answer comes, or one that Okta does not understand.
pub async fn push(okta: &Okta, company: &str, count: usize, connections: usize) -> Vec<Pushed> {
    let one = async |n: usize| {
        let user = somebody(company, n);
        let answer = okta.create(&user).await;
        Pushed { user_name: user["userName"].as_str().unwrap().to_owned(), answer }
    };
    stream::iter(0..count).map(one).buffer_unordered(connections).collect().await
}

/// The same until `stop`: for faults that take their time. Returns all that were pushed.
///
/// # Panics
/// As [`push`].
pub async fn push_for(okta: &Okta, company: &str, time: Duration, connections: usize) -> Vec<Pushed> {
    let end = tokio::time::Instant::now() + time;
    let going = |_: &usize| std::future::ready(tokio::time::Instant::now() < end);
    let one = async |n: usize| {
        let user = somebody(company, n);
        let answer = okta.create(&user).await;
        Pushed { user_name: user["userName"].as_str().unwrap().to_owned(), answer }
    };
    stream::iter(0..).take_while(going).map(one).buffer_unordered(connections).collect().await
}

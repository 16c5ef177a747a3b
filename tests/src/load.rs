//! A push: many users over many connections, as when a company assigns all its users at once.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::answer::Answer;
use crate::okta::{Okta, person};

/// A pushed user and the final answer.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The userName.
    pub user_name: String,
    /// The final answer.
    pub answer: Answer,
}

impl Pushed {
    /// Whether the create was acknowledged, by the first request or a repeated one.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.answer.status == 201
    }
}

/// The n-th user of a push.
#[must_use]
pub fn somebody(company: &str, n: usize) -> Value {
    person(&format!("person-{n:05}@{company}.example"), "Pat", &format!("Number {n}"))
}

/// Creates `count` users over this many connections, with Okta's retries.
///
/// # Panics
/// If there is no answer, or one that Okta does not understand.
pub async fn push(okta: &Okta, company: &str, count: usize, connections: usize) -> Vec<Pushed> {
    let one = async |n: usize| {
        let user = somebody(company, n);
        let answer = okta.create(&user).await;
        Pushed { user_name: user["userName"].as_str().unwrap().to_owned(), answer }
    };
    stream::iter(0..count).map(one).buffer_unordered(connections).collect().await
}

/// The same for `time`: for faults that take longer. Returns all users that were pushed.
///
/// # Panics
/// Like [`push`].
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

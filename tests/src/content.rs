//! The content service: sends CloudEvents about assignments over HTTP.

use serde_json::{Value, json};

use crate::Answer;

/// Structured mode.
pub const ONE: &str = "application/cloudevents+json";
/// Batch mode.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// A client of `POST /events`.
pub struct ContentService {
    http: reqwest::Client,
    url: String,
    tenant: String,
    api_key: String,
}

impl ContentService {
    /// Uses a key with the scope `events`.
    #[must_use]
    pub fn new(origin: &str, tenant: &str, api_key: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("the settings are constant");
        Self { http, url: format!("{origin}/events"), tenant: tenant.to_owned(), api_key: api_key.to_owned() }
    }

    /// Sends a body with this media type.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn post(&self, media_type: &str, body: impl Into<String>) -> Answer {
        let request = self.http.post(&self.url).bearer_auth(&self.api_key).header("Content-Type", media_type);
        let response = request.body(body.into()).send().await.unwrap();
        Answer::read(response).await.unwrap()
    }

    /// Sends one event.
    pub async fn tell(&self, event: &Value) -> Answer {
        self.post(ONE, event.to_string()).await
    }

    /// A new event with new ids: content was assigned to a user.
    #[must_use]
    pub fn assigned(&self, user: &str, title: &str) -> Value {
        let id = platform::id::new();
        json!({
            "specversion": "1.0",
            "type": "content.assigned",
            "source": "/content",
            "id": id,
            "time": "2026-11-02T09:00:00Z",
            "tenant": self.tenant,
            "data": {
                "user": { "id": user },
                "assignment": { "id": format!("assignment-{id}"), "assignedAt": "2026-11-02T09:00:00Z", "dueBy": "2026-12-24T18:00:00Z" },
                "content": { "id": "c-1", "kind": "Lesson", "title": title, "url": "https://learn.example/lessons/c-1" },
            },
        })
    }

    /// A new event: the user completed the assignment of this event.
    #[must_use]
    pub fn completed(&self, assigned: &Value) -> Value {
        json!({
            "specversion": "1.0",
            "type": "content.completed",
            "source": "/content",
            "id": platform::id::new(),
            "tenant": self.tenant,
            "data": {
                "user": assigned["data"]["user"],
                "assignment": { "id": assigned["data"]["assignment"]["id"], "completedAt": "2026-11-03T09:00:00Z" },
            },
        })
    }
}

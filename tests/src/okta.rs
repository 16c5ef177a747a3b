//! An identity provider that behaves like Okta's SCIM client: its headers, its order of requests, its retries.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::answer::{Answer, SCIM};

/// Okta's request timeout.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often Okta retries a request that is answered 429.
const TRIES: u32 = 10;
/// Okta doubles the pause without limit; the tests cap it.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// The schema of a PATCH body.
pub const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A client. Clones share connections and counts.
#[derive(Clone)]
pub struct Okta {
    http: reqwest::Client,
    base: String,
    credentials: Option<String>,
    seen: Arc<Mutex<BTreeMap<u16, usize>>>,
}

impl Okta {
    /// Uses HTTP Basic, as an admin configures it.
    #[must_use]
    pub fn basic(origin: &str, username: &str, api_key: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{api_key}"));
        Self::with(origin, Some(format!("Basic {pair}")))
    }

    /// Uses a Bearer token.
    #[must_use]
    pub fn bearer(origin: &str, token: &str) -> Self {
        Self::with(origin, Some(format!("Bearer {token}")))
    }

    /// Uses this `Authorization`, or none.
    ///
    /// # Panics
    /// Never: the settings are constant.
    #[must_use]
    pub fn with(origin: &str, credentials: Option<String>) -> Self {
        let http = reqwest::Client::builder()
            .user_agent("Okta SCIM Client 1.0.0")
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .expect("the settings are constant");
        Self { http, base: format!("{origin}/scim/v2"), credentials, seen: Arc::default() }
    }

    /// A request with Okta's headers; `path` is relative to the base URL and begins with a slash.
    ///
    /// # Panics
    /// If the method is invalid.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().unwrap();
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .header("Accept", SCIM)
            .header("Accept-Charset", "utf-8")
            .header("Content-Type", format!("{SCIM}; charset=utf-8"));
        match &self.credentials {
            Some(credentials) => request.header("Authorization", credentials),
            None => request,
        }
    }

    /// A POST with these credentials to a path outside of SCIM.
    pub fn at(&self, path: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.base.trim_end_matches("/scim/v2")));
        match &self.credentials {
            Some(credentials) => request.header("Authorization", credentials),
            None => request,
        }
    }

    /// Sends a request once.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn once(&self, request: RequestBuilder) -> Answer {
        self.attempt(request).await.unwrap_or_else(|e| panic!("no answer: {e:?}"))
    }

    /// Sends a request once.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn attempt(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let answer = Answer::read(request.send().await?).await?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(answer.status).or_default() += 1;
        Ok(answer)
    }

    /// Sends a request with Okta's retries: after a 429 it waits for `Retry-After`, then twice that, up to ten times.
    ///
    /// # Panics
    /// If there is no answer, or a 429 without integer seconds.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let mut tries = 0;
        loop {
            let answer = self.once(request.try_clone().expect("bodies are in memory")).await;
            if answer.status != 429 || tries == TRIES {
                return answer;
            }
            let pause = Duration::from_secs(answer.retry_after() << tries).min(LONGEST_PAUSE);
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    /// The number of answers per status.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<u16, usize> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// GET of a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    /// Sends a JSON body with any method.
    pub async fn with_body(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(method, path).body(body.to_string())).await
    }

    /// "Test API Credentials": two reads.
    pub async fn test_credentials(&self) -> [Answer; 2] {
        [self.get("/Users?startIndex=1&count=2").await, self.get("/Groups?startIndex=1&count=100").await]
    }

    /// The lookup before every assignment, with exactly Okta's query.
    pub async fn find(&self, user_name: &str) -> Answer {
        self.filter(&format!("userName eq \"{user_name}\"")).await
    }

    /// A list with a filter, encoded as Okta does.
    pub async fn filter(&self, filter: &str) -> Answer {
        self.get(&format!("/Users?filter={}&startIndex=1&count=100", encode(filter))).await
    }

    /// A list of groups with a filter.
    pub async fn filter_groups(&self, filter: &str) -> Answer {
        self.get(&format!("/Groups?filter={}", encode(filter))).await
    }

    /// Assigns a new user.
    pub async fn create(&self, user: &Value) -> Answer {
        self.with_body("POST", "/Users", user).await
    }

    /// Reads one user.
    pub async fn user(&self, id: &str) -> Answer {
        self.get(&format!("/Users/{id}")).await
    }

    /// A profile update: GET, then PUT of the received representation with the changes merged in.
    pub async fn update(&self, id: &str, changes: &Value) -> Answer {
        let mut user = self.user(id).await.is(200).body;
        merge(&mut user, changes);
        self.put(id, &user).await
    }

    /// PUT of a whole user.
    pub async fn put(&self, id: &str, user: &Value) -> Answer {
        self.with_body("PUT", &format!("/Users/{id}"), user).await
    }

    /// PATCH with these operations.
    pub async fn patch(&self, id: &str, operations: Value) -> Answer {
        let body = json!({ "schemas": [PATCH_OP], "Operations": operations });
        self.with_body("PATCH", &format!("/Users/{id}"), &body).await
    }

    /// Deactivates (`false`) or reactivates (`true`), as catalog apps do.
    pub async fn set_active(&self, id: &str, active: bool) -> Answer {
        self.patch(id, json!([{ "op": "replace", "value": { "active": active } }])).await
    }

    /// Group Push: creates an empty group.
    pub async fn push_group(&self, name: &str) -> Answer {
        self.with_body("POST", "/Groups", &group(name, &[])).await
    }

    /// One group.
    pub async fn group(&self, id: &str) -> Answer {
        self.get(&format!("/Groups/{id}")).await
    }

    /// PATCH of a group with these operations.
    pub async fn patch_group(&self, id: &str, operations: Value) -> Answer {
        let body = json!({ "schemas": [PATCH_OP], "Operations": operations });
        self.with_body("PATCH", &format!("/Groups/{id}"), &body).await
    }

    /// DELETE, which Okta never sends.
    pub async fn delete(&self, id: &str) -> Answer {
        self.send(self.request("DELETE", &format!("/Users/{id}"))).await
    }
}

/// The body of Okta's POST: a mail address as the userName, a random password, empty groups.
///
/// # Panics
/// If the userName is not an address.
#[must_use]
pub fn person(user_name: &str, given: &str, family: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": user_name,
        "name": { "givenName": given, "familyName": family },
        "emails": [{ "primary": true, "value": user_name, "type": "work" }],
        "displayName": format!("{given} {family}"),
        "locale": "en-US",
        "externalId": format!("00u-{user_name}"),
        "groups": [],
        "password": PASSWORD,
        "active": true,
    })
}

/// The body of a group's POST, or of a wizard app's PUT.
#[must_use]
pub fn group(name: &str, members: &[&str]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": name,
        "members": self::members(members),
    })
}

/// Members as Okta sends them; `display` is Okta's own name for them.
#[must_use]
pub fn members(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({ "value": id, "display": "someone@okta.example" })).collect()
}

/// The operations of Group Push: one remove per leaving member, one add for all joining ones.
#[must_use]
pub fn membership(leaving: &[&str], joining: &[&str]) -> Value {
    let remove = |id| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") });
    let mut operations: Vec<_> = leaving.iter().map(remove).collect();
    if !joining.is_empty() {
        operations.push(json!({ "op": "add", "path": "members", "value": members(joining) }));
    }
    operations.into()
}

/// The password in every POST; must never be returned.
pub const PASSWORD: &str = "correct-horse-battery-staple";

/// Percent-encodes a query value.
#[must_use]
pub fn encode(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Merges `changes` into `value`, recursively for objects.
pub fn merge(value: &mut Value, changes: &Value) {
    match (value, changes) {
        (Value::Object(value), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(value.entry(name).or_insert(Value::Null), change);
            }
        }
        (value, changes) => *value = changes.clone(),
    }
}

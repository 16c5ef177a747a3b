//! An identity provider that talks as Okta's SCIM client does: its headers, its order of requests, its patience.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::answer::{Answer, SCIM};

/// Okta gives a request up after this.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Okta tries a request that is answered 429 this often again.
const TRIES: u32 = 10;
/// Okta doubles the pause without end; a test must end.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// The schema of a PATCH body.
pub const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A client. Clones share its connections and what it has seen.
#[derive(Clone)]
pub struct Okta {
    http: reqwest::Client,
    base: String,
    credentials: Option<String>,
    seen: Arc<Mutex<BTreeMap<u16, usize>>>,
}

impl Okta {
    /// With HTTP Basic, as an admin types it in.
    #[must_use]
    pub fn basic(origin: &str, username: &str, api_key: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{api_key}"));
        Self::with(origin, Some(format!("Basic {pair}")))
    }

    /// With a Bearer token.
    #[must_use]
    pub fn bearer(origin: &str, token: &str) -> Self {
        Self::with(origin, Some(format!("Bearer {token}")))
    }

    /// With this `Authorization`, or none.
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

    /// A request with Okta's headers; `path` begins with a slash, below the base URL.
    ///
    /// # Panics
    /// When the method is none.
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

    /// A POST with these credentials to a path of this server outside of SCIM.
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
    /// When no answer comes.
    pub async fn once(&self, request: RequestBuilder) -> Answer {
        self.attempt(request).await.unwrap_or_else(|e| panic!("no answer: {e:?}"))
    }

    /// Sends a request once; the connection may break.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn attempt(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let answer = Answer::read(request.send().await?).await?;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(answer.status).or_default() += 1;
        Ok(answer)
    }

    /// Sends a request as Okta does: after a 429 again, when `Retry-After` says so, then after twice that, ten times.
    ///
    /// # Panics
    /// When no answer comes, or a 429 without integer seconds.
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

    /// How often each status was answered.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<u16, usize> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// GET of a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    /// Any method with a JSON body.
    pub async fn with_body(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(method, path).body(body.to_string())).await
    }

    /// "Test API Credentials": two reads.
    pub async fn test_credentials(&self) -> [Answer; 2] {
        [self.get("/Users?startIndex=1&count=2").await, self.get("/Groups?startIndex=1&count=100").await]
    }

    /// The look-up before every assignment, with exactly Okta's query.
    pub async fn find(&self, user_name: &str) -> Answer {
        self.filter(&format!("userName eq \"{user_name}\"")).await
    }

    /// A list by a filter, encoded as Okta does it.
    pub async fn filter(&self, filter: &str) -> Answer {
        self.get(&format!("/Users?filter={}&startIndex=1&count=100", encode(filter))).await
    }

    /// A filter over groups.
    pub async fn filter_groups(&self, filter: &str) -> Answer {
        self.get(&format!("/Groups?filter={}", encode(filter))).await
    }

    /// Assigns a new person.
    pub async fn create(&self, user: &Value) -> Answer {
        self.with_body("POST", "/Users", user).await
    }

    /// One user.
    pub async fn user(&self, id: &str) -> Answer {
        self.get(&format!("/Users/{id}")).await
    }

    /// A profile update: GET, then PUT of *our* representation with the changes merged in.
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

    /// Group Push: a new group, empty.
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

/// The body of Okta's POST: a person with a mail address for a userName, a random password, empty groups.
///
/// # Panics
/// When the name is no address.
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

/// Members as Okta names them; `display` is whatever Okta calls them.
#[must_use]
pub fn members(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({ "value": id, "display": "someone@okta.example" })).collect()
}

/// The operations of Group Push: a remove for each who leaves, one add for all who join.
#[must_use]
pub fn membership(leaving: &[&str], joining: &[&str]) -> Value {
    let remove = |id| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") });
    let mut operations: Vec<_> = leaving.iter().map(remove).collect();
    if !joining.is_empty() {
        operations.push(json!({ "op": "add", "path": "members", "value": members(joining) }));
    }
    operations.into()
}

/// The password in every POST: must come back nowhere.
pub const PASSWORD: &str = "correct-horse-battery-staple";

/// Percent-encodes a query value.
#[must_use]
pub fn encode(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Puts `changes` over `value`, object by object.
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

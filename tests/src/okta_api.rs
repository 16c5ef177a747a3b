//! A fake of Okta's own API: a group of users in pages, with rate limits and faults. [`crate::okta`] is the other
//! direction.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::clock::Clock;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc2822;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::stack::Stack;

/// The only group.
pub const GROUP: &str = "00g1emaKYZTWRYYRRTSK";
/// The token that grants access.
pub const TOKEN: &str = "00-read-only-token_of-okta";

/// The server; stopped with the test's runtime.
#[derive(Clone)]
pub struct OktaApi {
    port: u16,
    state: Arc<Mutex<State>>,
}

/// A fault of the next answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection closes in the middle of the answer.
    BreaksOff,
    /// The answer is delayed.
    Slow(Duration),
    /// The answer has this status.
    Status(u16),
    /// The answer redirects to this URL.
    Redirect(String),
    /// The answer has this `Link` header.
    Link(String),
    /// The answer is 200 with this body.
    Body(String),
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The position of the page's first user.
    pub after: usize,
    /// The status of the answer.
    pub status: u16,
    /// Whether the client sent it although an earlier answer said that the window's limit was used up.
    pub too_early: bool,
}

struct State {
    users: Vec<Value>,
    /// Requests per window, and the window in seconds.
    limit: (u32, i64),
    window: i64,
    used: u32,
    faults: Vec<(usize, VecDeque<Fault>)>,
    asked: Vec<Asked>,
}

impl OktaApi {
    /// Starts a server with these users.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(users: Vec<Value>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let state =
            State { users, limit: (u32::MAX, 60), window: 0, used: 0, faults: Vec::new(), asked: Vec::new() };
        let api = Self { port: listener.local_addr().unwrap().port(), state: Arc::new(Mutex::new(state)) };
        let serving = api.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let api = serving.clone();
                // Clients may disconnect at any time.
                tokio::spawn(async move { api.converse(stream).await });
            }
        });
        api
    }

    /// The URL of the group's page that begins at a position.
    #[must_use]
    pub fn page(&self, after: usize) -> String {
        format!("{}/api/v1/groups/{GROUP}/users?after={after}&limit=200", self.url())
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets the rate limit: requests per window of this many seconds.
    pub fn limit(&self, requests: u32, seconds: i64) {
        self.state().limit = (requests, seconds);
    }

    /// Injects faults into the next answers for the page that begins at a position, in this order.
    pub fn break_page(&self, after: usize, faults: &[Fault]) {
        self.state().faults.push((after, faults.iter().cloned().collect()));
    }

    /// Changes the members of the group.
    pub fn change(&self, change: impl FnOnce(&mut Vec<Value>)) {
        change(&mut self.state().users);
    }

    /// Configures a tenant's pull from this server, with an attribute map that fits [`user`].
    ///
    /// # Panics
    /// If the CLI fails.
    pub async fn set(&self, stack: &Stack, tenant: &str, more: &[&str]) {
        let file = |name: &str, text: String| {
            let path = stack.folder().join(format!("{tenant}-{name}"));
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let map = json!({
            "hire_date": "startDate", "region": "region",
            "custom_fields": { "Shirt": "shirtSize", "Skills": "skills" },
        });
        let (map, token) = (file("map.json", map.to_string()), file("token", format!("{TOKEN}\n")));
        let url = self.url();
        let arguments = ["pull", "set", tenant, "--okta-url", &url, "--group", GROUP];
        let files = ["--map", &map, "--token-file", &token];
        stack.rollcall(&[&arguments[..], &files, more].concat()).await.well();
    }

    /// All requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn converse(&self, stream: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        while let Some(request) = lines.next_line().await? {
            let mut is_allowed = false;
            while let Some(header) = lines.next_line().await?.filter(|line| !line.is_empty()) {
                let (name, value) = header.split_once(':').unwrap_or_default();
                is_allowed |=
                    name.eq_ignore_ascii_case("authorization") && value.trim() == format!("SSWS {TOKEN}");
            }
            let (answer, fault) = self.answer(request.split(' ').nth(1).unwrap_or_default(), is_allowed);
            match fault {
                Some(Fault::BreaksOff) => {
                    return writer.write_all(&answer.as_bytes()[..answer.len() / 2]).await;
                }
                Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
                Some(Fault::Status(_) | Fault::Redirect(_) | Fault::Link(_) | Fault::Body(_)) | None => {}
            }
            writer.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }

    fn answer(&self, target: &str, is_allowed: bool) -> (String, Option<Fault>) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(known, _)| *known == name).map(|(_, value)| value).next_back()
        };
        let after = parameter("after").and_then(|after| after.parse().ok()).unwrap_or(0);
        let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(200_usize).min(200);
        let mut state = self.state();
        let limits = state.count();
        let (mut status, mut fault) = (200, None);
        if !is_allowed {
            status = 401;
        } else if path != format!("/api/v1/groups/{GROUP}/users") {
            status = 404;
        } else if limits.is_over {
            status = 429;
        } else if let Some((_, faults)) =
            state.faults.iter_mut().find(|(at, faults)| *at == after && !faults.is_empty())
        {
            fault = faults.pop_front();
            match &fault {
                Some(Fault::Status(broken)) => status = *broken,
                Some(Fault::Redirect(_)) => status = 302,
                _ => {}
            }
        }
        state.asked.push(Asked { after, status, too_early: limits.is_over });
        let mut headers = limits.headers;
        if let Some(Fault::Redirect(elsewhere)) = &fault {
            headers += &format!("Location: {elsewhere}\r\n");
        }
        let body = if status == 200 {
            headers += &format!("Link: <{}{target}>; rel=\"self\"\r\n", self.url());
            let end = (after + limit).min(state.users.len());
            if let Some(Fault::Link(link)) = &fault {
                headers += &format!("Link: {link}\r\n");
            } else if end < state.users.len() {
                let next = format!("{}{path}?after={end}&limit={limit}", self.url());
                headers += &format!("Link: <{next}>; rel=\"next\"\r\n");
            }
            match &fault {
                Some(Fault::Body(body)) => body.clone(),
                _ => Value::from(&state.users[after.min(end)..end]).to_string(),
            }
        } else {
            json!({ "errorCode": "E0000047", "errorSummary": "must not appear in any log" }).to_string()
        };
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n{headers}");
        (format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()), fault)
    }
}

/// The rate limit headers.
struct Limits {
    headers: String,
    is_over: bool,
}

impl State {
    /// Counts a request in its window.
    fn count(&mut self) -> Limits {
        let (limit, seconds) = self.limit;
        let now = Clock::System.now();
        let window = now.unix_timestamp() / seconds;
        if window != self.window {
            (self.window, self.used) = (window, 0);
        }
        self.used = self.used.saturating_add(1);
        let (remaining, reset) = (limit.saturating_sub(self.used), (window + 1) * seconds);
        let date = now.format(&Rfc2822).unwrap_or_default().replace("+0000", "GMT");
        let headers = format!(
            "Date: {date}\r\nX-Rate-Limit-Limit: {limit}\r\nX-Rate-Limit-Remaining: {remaining}\r\nX-Rate-Limit-Reset: {reset}\r\n"
        );
        Limits { headers, is_over: self.used > limit }
    }
}

/// The n-th user of a company in Okta's form, the same as [`crate::load::somebody`]. Some have no hire date.
#[must_use]
pub fn user(company: &str, n: usize) -> Value {
    let login = format!("person-{n:05}@{company}.example");
    let region = ["EMEA", "APAC", "AMER"][n % 3];
    let start = (n % 7 != 6).then(|| format!("2024-{:02}-{:02}", n % 12 + 1, n % 28 + 1));
    json!({
        "id": format!("00u-{login}"),
        "status": "ACTIVE",
        "profile": {
            "login": login, "email": login, "firstName": "Pat", "lastName": format!("Number {n}"),
            "startDate": start,
            "region": region,
            "shirtSize": "M", "skills": ["ladder", "rope"],
        },
    })
}

//! A service process: starts it with an environment, logs into a file, and can kill, stop, freeze and restart it.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{eventually, reaper};

/// The timeout for becoming ready; generous, because several stacks may start at once on two cores.
const READY: Duration = Duration::from_secs(60);
/// The ports for services: above those of the tests' servers.
const PORTS: std::ops::Range<u16> = 29_100..32_700;
/// The timeout for an orderly stop: longer than the service's grace period.
const STOP: Duration = Duration::from_secs(40);

/// A service.
pub struct Service {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    port: u16,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Service {
    /// Describes a service; [`Service::start`] starts it. `port` serves `/readyz`.
    #[must_use]
    pub fn new(
        name: &str,
        program: PathBuf,
        environment: Vec<(String, String)>,
        port: u16,
        log: &Path,
    ) -> Self {
        let log = log.join(format!("{name}.log"));
        let arguments = Vec::new();
        Self { name: name.to_owned(), program, arguments, environment, port, log, child: Mutex::default() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn with_arguments(mut self, arguments: Vec<String>) -> Self {
        self.arguments = arguments;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its complete log, across restarts.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Starts it without waiting. Appends to its log.
    ///
    /// # Panics
    /// If it is running, or the program cannot be started.
    pub fn start(&self) {
        let mut child = self.child();
        assert!(child.is_none(), "{} is already running", self.name);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the run directory can be written");
        let started = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env(reaper::MARK, reaper::run())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{} does not start: {e}", self.program.display()));
        reaper::watch_process(started.id());
        *child = Some(started);
    }

    /// Waits until `/readyz` is 200: until all its dependencies have been available once since its start.
    ///
    /// # Panics
    /// If it exits or does not become ready in time; shows the end of its log.
    pub async fn ready(&self) {
        self.becomes("ready", async || self.is_ready().await).await;
    }

    /// Waits until all its dependencies are available now.
    ///
    /// # Panics
    /// Like [`Service::ready`].
    pub async fn whole(&self) {
        self.becomes("whole", async || self.is_whole().await).await;
    }

    async fn becomes(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let end = Instant::now() + READY;
        while !is_so().await {
            let ended = self
                .child()
                .as_mut()
                .is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()));
            if ended || Instant::now() > end {
                let how = if ended { "exited".to_owned() } else { format!("did not become {what}") };
                panic!("{} {how}; the end of its log:\n{}", self.name, self.tail(30));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it is ready, up to a timeout.
    pub async fn ready_or(&self, time_limit: Duration) {
        let end = Instant::now() + time_limit;
        while Instant::now() < end && !self.is_ready().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The status and body of `/readyz`, if it responds.
    pub async fn readiness(&self) -> Option<(u16, Value)> {
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build().unwrap();
        let answer = client.get(url).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, serde_json::from_str(&answer.text().await.ok()?).unwrap_or_default()))
    }

    /// Whether `/readyz` is 200 now.
    pub async fn is_ready(&self) -> bool {
        self.readiness().await.is_some_and(|(status, _)| status == 200)
    }

    /// Whether `/readyz` is 200 now and reports all dependencies as ok.
    pub async fn is_whole(&self) -> bool {
        let all_well = |body: Value| {
            let states = body["dependencies"].as_object().cloned().unwrap_or_default();
            !states.is_empty() && states.values().all(|state| state == "ok")
        };
        self.readiness().await.is_some_and(|(status, body)| status == 200 && all_well(body))
    }

    /// Waits until `/readyz` reports this dependency as unavailable; returns the reported state. The status must stay
    /// 200: otherwise a balancer would remove every ingest.
    ///
    /// # Panics
    /// If that takes too long, or if it is not ready.
    pub async fn misses(&self, dependency: &str) -> String {
        let what = format!("{} says that {dependency} is away", self.name);
        eventually(what, Duration::from_secs(20), async || {
            let (status, body) = self.readiness().await?;
            assert_eq!(status, 200, "{} is not ready while {dependency} is away: {body}", self.name);
            let said = body["dependencies"][dependency].as_str()?;
            (said != "ok").then(|| said.to_owned())
        })
        .await
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it is not running.
    pub fn pid(&self) -> u32 {
        self.child().as_ref().unwrap_or_else(|| panic!("{} does not run", self.name)).id()
    }

    /// Whether it is running.
    pub fn is_running(&self) -> bool {
        self.child().as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    /// Its resident memory, in MiB.
    ///
    /// # Panics
    /// If it is not running.
    pub fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    /// Its peak resident memory since [`Service::forget_peak`], in MiB.
    ///
    /// # Panics
    /// If it is not running.
    pub fn peak_memory(&self) -> usize {
        self.status("VmHWM:")
    }

    /// Resets the peak.
    ///
    /// # Panics
    /// If it is not running.
    pub fn forget_peak(&self) {
        // See proc_pid_clear_refs(5).
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("it is our child");
    }

    fn status(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux tells it");
        let kib = line.trim().trim_end_matches(" kB").parse::<usize>().expect("it is a number");
        kib >> 10
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&self) {
        if let Some(mut child) = self.child().take() {
            let pid = child.id();
            let _ = child.kill();
            let _ = child.wait();
            reaper::forget(&pid.to_string());
        }
    }

    /// Sends SIGTERM and waits for its end. Returns the exit status.
    ///
    /// # Panics
    /// If it is not running, or does not exit in time.
    pub async fn terminate(&self) -> ExitStatus {
        self.signal("TERM");
        let status = eventually(format!("{} ends after SIGTERM", self.name), STOP, async || {
            self.child().as_mut().and_then(|child| child.try_wait().expect("it is our child"))
        });
        let status = status.await;
        if let Some(child) = self.child().take() {
            reaper::forget(&child.id().to_string());
        }
        status
    }

    /// SIGSTOP: it hangs, but the kernel still accepts connections for it.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: it continues.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Restarts it and waits until it is ready.
    pub async fn restart(&self) {
        self.kill();
        self.start();
        self.ready().await;
    }

    /// Starts it again if it has exited, without waiting. Returns whether it had.
    pub fn revive(&self) -> bool {
        let ended = self.child().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
        if ended {
            self.kill();
            self.start();
        }
        ended
    }

    /// Sends a signal, by its name without SIG.
    ///
    /// # Panics
    /// If it is not running.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &pid]).status();
        assert!(sent.expect("there is a shell").success(), "SIG{name} cannot be sent to {}", self.name);
    }

    /// The last lines of its log.
    #[must_use]
    pub fn tail(&self, lines: usize) -> String {
        self.last_lines(lines, |_| true)
    }

    /// The last matching lines of its log.
    #[must_use]
    pub fn last_lines(&self, count: usize, wanted: impl Fn(&str) -> bool) -> String {
        let log = self.log();
        let all: Vec<_> = log.lines().filter(|line| wanted(line)).collect();
        all[all.len().saturating_sub(count)..].join("\n")
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether it exited with code 0, not by a signal.
#[must_use]
pub fn ended_well(status: ExitStatus) -> bool {
    status.code() == Some(0) && status.signal().is_none()
}

/// A free port that stays free while its service restarts: it is not handed out twice, and is below Linux's ephemeral
/// ports.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    use std::net::TcpListener;
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_free = |port: &u16| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut tries = std::iter::repeat_with(|| rand::random_range(PORTS)).take(1_000);
    let port = tries.find(is_free).expect("some port is free");
    given.insert(port);
    port
}

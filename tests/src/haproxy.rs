//! HAProxy in front of a stack's first two ingests, with the configuration for operators: `deploy/haproxy.cfg`.

use std::path::PathBuf;
use std::time::Duration;

use crate::process::{Service, free_port};
use crate::stack::Stack;
use crate::{eventually, programs};

/// Possible paths: distributions install it outside of an ordinary user's PATH.
const PROGRAMS: [&str; 3] = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"];

/// A running balancer; stopped when dropped.
pub struct HaProxy(Service);

impl HaProxy {
    /// Starts one, and waits until it has a ready ingest.
    ///
    /// # Panics
    /// If HAProxy is not installed, or does not start.
    pub async fn start(stack: &Stack) -> Self {
        let port = free_port();
        let at = |port: u16| format!("127.0.0.1:{port}");
        let environment = [
            ("ROLLCALL_BALANCER_BIND", at(port)),
            ("ROLLCALL_INGEST_1", at(stack.ingests[0].port())),
            ("ROLLCALL_INGEST_2", at(stack.ingests[1].port())),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let config = programs::checkout().join("deploy/haproxy.cfg");
        let arguments = vec!["-db".to_owned(), "-f".to_owned(), config.display().to_string()];
        let log = stack.folder().join("log");
        let program = PROGRAMS.iter().map(PathBuf::from).find(|program| program.is_file());
        let program = program.expect("haproxy is installed: apt-get install haproxy");
        let service = Service::new("haproxy", program, environment, port, &log);
        let balancer = Self(service.with_arguments(arguments));
        balancer.0.start();
        balancer.0.ready().await;
        balancer
    }

    /// Its address.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port())
    }

    /// How often it has marked the n-th ingest as down.
    #[must_use]
    pub fn times_out(&self, ingest: usize) -> usize {
        self.logged(ingest, "DOWN")
    }

    /// Waits until it has marked the n-th ingest as down more often than before.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn takes_out(&self, ingest: usize, before: usize) {
        self.tells(ingest, "DOWN", before).await;
    }

    /// Waits until it has marked the n-th ingest as up more often than before.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn takes_in(&self, ingest: usize, before: usize) {
        self.tells(ingest, "UP", before).await;
    }

    async fn tells(&self, ingest: usize, state: &str, before: usize) {
        let what = format!("the balancer says that ingest-{} is {state}", ingest + 1);
        eventually(what, Duration::from_secs(20), async || {
            (self.logged(ingest, state) > before).then_some(())
        })
        .await;
    }

    /// The number of such log lines. (Each event is logged twice; the beginning of the line tells the copies apart.)
    fn logged(&self, ingest: usize, state: &str) -> usize {
        let line = format!("Server ingests/ingest-{} is {state}", ingest + 1);
        self.0.log().lines().filter(|said| said.starts_with(&line)).count()
    }
}

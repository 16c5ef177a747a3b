//! HAProxy in front of a stack's first two ingests, with the very file that operators are given: `deploy/haproxy.cfg`.

use std::path::PathBuf;
use std::time::Duration;

use crate::process::{Service, free_port};
use crate::stack::Stack;
use crate::{eventually, programs};

/// Where it may be: distributions put it where it is not on everybody's path.
const PROGRAMS: [&str; 3] = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"];

/// A running balancer; it ends when it is dropped.
pub struct HaProxy(Service);

impl HaProxy {
    /// Starts one, and waits until an ingest is ready behind it.
    ///
    /// # Panics
    /// When HAProxy is not installed, or does not start.
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

    /// How often it has taken the n-th ingest out.
    #[must_use]
    pub fn times_out(&self, ingest: usize) -> usize {
        self.told(ingest, "DOWN")
    }

    /// Waits until it has taken the n-th ingest out more often than so.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn takes_out(&self, ingest: usize, before: usize) {
        self.tells(ingest, "DOWN", before).await;
    }

    /// Waits until it has taken the n-th ingest in again more often than so.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn takes_in(&self, ingest: usize, before: usize) {
        self.tells(ingest, "UP", before).await;
    }

    async fn tells(&self, ingest: usize, state: &str, before: usize) {
        let what = format!("the balancer says that ingest-{} is {state}", ingest + 1);
        eventually(what, Duration::from_secs(20), async || (self.told(ingest, state) > before).then_some(()))
            .await;
    }

    /// How often its log says so. (Each of these lines is there twice; what begins it tells them apart.)
    fn told(&self, ingest: usize, state: &str) -> usize {
        let line = format!("Server ingests/ingest-{} is {state}", ingest + 1);
        self.0.log().lines().filter(|said| said.starts_with(&line)).count()
    }
}

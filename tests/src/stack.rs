//! A complete Rollcall: services on their own database and virtual host, and the CLI.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::broker::Broker;
use crate::db::Db;
use crate::mailbox::Mailbox;
use crate::process::{Service, free_port};
use crate::servers::{Servers, Urls};
use crate::tenant::Tenant;
use crate::{programs, reaper};

/// The last lines and the last warnings of each service's log that are shown after a failure.
const SHOWN: usize = 3;
const WARNINGS: usize = 8;

/// The key that encrypts stored tokens: 32 bytes in base64.
pub const SECRET_KEY: &str = "cm9sbGNhbGwncyB0ZXN0cyBrZWVwIG5vIHNlY3JldHM=";

/// The configuration of a stack.
pub struct Options {
    /// The number of ingests.
    pub ingests: usize,
    /// The number of workers.
    pub workers: usize,
    /// The mail URL; by default the stack's own mailbox.
    pub mail_url: Option<String>,
    /// Additional environment variables for all services.
    pub environment: Vec<(&'static str, String)>,
    /// The servers; by default the shared pair.
    pub servers: Option<Arc<Servers>>,
    /// Rewrites the server URLs of a program.
    pub way: Option<Way>,
    /// The workers' bug, by its name in the worker's module `sabotage`.
    pub sabotage: Option<String>,
}

/// Maps a program's name and a server's URL to the URL that the program uses.
pub type Way = Box<dyn Fn(&str, &str) -> String + Send>;

impl Default for Options {
    fn default() -> Self {
        Self {
            ingests: 1,
            workers: 1,
            mail_url: None,
            environment: Vec::new(),
            servers: None,
            way: None,
            sabotage: None,
        }
    }
}

/// A running stack. Dropping it stops everything, and shows the ends of the logs after a panic.
pub struct Stack {
    /// The SCIM servers.
    pub ingests: Vec<Service>,
    /// The workers.
    pub workers: Vec<Service>,
    /// Another worker, which a test may start.
    pub spare_worker: Service,
    /// The notifier.
    pub notifier: Service,
    /// `DATABASE_URL`: that of the owner, as `rollcall migrate` uses it.
    pub database_url: String,
    /// `AMQP_URL`: that of a user who may do everything.
    pub amqp_url: String,
    /// The connection strings of the users of each program, with which it runs.
    pub urls: Urls,
    folder: PathBuf,
    /// The servers that it runs on.
    pub servers: Arc<Servers>,
}

/// The stack shared by all tests that inject no faults. Each uses its own tenant.
pub struct Shared(&'static Stack);

impl Deref for Shared {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The last lines may be about other tests.
        self.0.show_logs_after_panic(0);
    }
}

/// The output of a CLI run.
pub struct Said {
    /// The exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Stack {
    /// The shared stack: two ingests, two workers.
    pub async fn shared() -> Shared {
        static SHARED: OnceCell<Stack> = OnceCell::const_new();
        let start = async || Self::start(Options { ingests: 2, workers: 2, ..Options::default() }).await;
        Shared(SHARED.get_or_init(start).await)
    }

    /// A separate stack of minimal size.
    pub async fn own() -> Self {
        Self::start(Options::default()).await
    }

    /// Starts a stack, migrated and ready.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(options: Options) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        tokio::task::spawn_blocking(programs::folder).await.unwrap();
        let servers = match options.servers {
            Some(servers) => servers,
            None => Servers::shared().await,
        };
        let folder = servers.folder().join(format!("stack-{}", COUNT.fetch_add(1, Ordering::SeqCst)));
        std::fs::create_dir_all(folder.join("log")).expect("the temporary folder can be written");
        let urls = servers.place().await;
        let mail_url =
            options.mail_url.unwrap_or_else(|| format!("file://{}", folder.join("mail").display()));
        let mut common = vec![
            ("ROLLCALL_SECRET_KEY", SECRET_KEY.to_owned()),
            ("ROLLCALL_LOG", "info".to_owned()),
            ("ROLLCALL_LOG_FORMAT", "json".to_owned()),
            // Otherwise tests would have to wait longer to see that no mail is sent.
            ("ROLLCALL_MAIL_GATHER", "0".to_owned()),
        ];
        common.extend(options.environment);
        let (worker, fault) = match options.sabotage {
            None => ("worker", Vec::new()),
            Some(fault) => {
                tokio::task::spawn_blocking(programs::sabotaged_worker).await.unwrap();
                ("sabotaged-worker", vec![("ROLLCALL_SABOTAGE", fault)])
            }
        };
        let service = |program: &str,
                       name: String,
                       port_variable: &'static str,
                       more: &[(&'static str, String)]| {
            let port = free_port();
            let mut environment = Vec::new();
            for name in ["DATABASE_URL", "AMQP_URL"] {
                let direct = urls.of(program, name);
                let way = options.way.as_ref();
                environment.push((name, way.map_or_else(|| direct.to_owned(), |way| way(program, direct))));
            }
            environment.extend_from_slice(&common);
            environment.extend_from_slice(more);
            environment.push((port_variable, port.to_string()));
            let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Service::new(&name, programs::path(program), environment, port, &folder.join("log"))
        };
        let stack = Self {
            ingests: (1..=options.ingests)
                .map(|n| service("ingest", format!("ingest-{n}"), "ROLLCALL_PORT", &[]))
                .collect(),
            workers: (1..=options.workers)
                .map(|n| service(worker, format!("worker-{n}"), "ROLLCALL_HEALTH_PORT", &fault))
                .collect(),
            spare_worker: service(worker, "worker-spare".to_owned(), "ROLLCALL_HEALTH_PORT", &fault),
            notifier: service(
                "notifier",
                "notifier".to_owned(),
                "ROLLCALL_HEALTH_PORT",
                &[("ROLLCALL_MAIL_URL", mail_url)],
            ),
            database_url: urls.get("DATABASE_URL").to_owned(),
            amqp_url: urls.get("AMQP_URL").to_owned(),
            folder,
            servers,
            urls,
        };
        stack.rollcall(&["migrate"]).await.well();
        stack.services().for_each(Service::start);
        join_all(stack.services().map(Service::ready)).await;
        stack
    }

    /// All services except the spare worker.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.ingests.iter().chain(&self.workers).chain([&self.notifier])
    }

    /// The first ingest's address.
    #[must_use]
    pub fn origin(&self) -> String {
        self.origin_of(0)
    }

    /// The address of the n-th ingest.
    #[must_use]
    pub fn origin_of(&self, ingest: usize) -> String {
        format!("http://127.0.0.1:{}", self.ingests[ingest].port())
    }

    /// Adds a tenant with a key of every scope.
    pub async fn tenant(&self, name: &str) -> Tenant {
        Tenant::add(self, name).await
    }

    /// Its database.
    #[must_use]
    pub fn db(&self) -> Db {
        Db::new(&self.database_url)
    }

    /// Its broker.
    pub async fn broker(&self) -> Broker {
        Broker::connect(&self.amqp_url).await
    }

    /// Its mailbox.
    #[must_use]
    pub fn mailbox(&self) -> Mailbox {
        Mailbox::new(self.folder.join("mail"))
    }

    /// Its folder, with `log/` and `mail/`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs the CLI: `migrate` as the owner of the database, everything else as the operator.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn rollcall(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(programs::path("rollcall"));
        let database_url = match arguments.first() {
            Some(&"migrate") => &*self.database_url,
            _ => self.urls.of("operator", "DATABASE_URL"),
        };
        command
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("AMQP_URL", self.urls.of("operator", "AMQP_URL"))
            .env("ROLLCALL_SECRET_KEY", SECRET_KEY)
            .env(reaper::MARK, reaper::run())
            .current_dir(&self.folder)
            .args(arguments);
        Said::by(command).await
    }

    /// Runs the CLI with `--json`; returns its output.
    ///
    /// # Panics
    /// If it fails, or does not print JSON.
    pub async fn rollcall_json(&self, arguments: &[&str]) -> Value {
        let said = self.rollcall(&[arguments, &["--json"]].concat()).await.well();
        serde_json::from_str(&said.out)
            .unwrap_or_else(|e| panic!("rollcall {arguments:?} did not print JSON: {e}: {}", said.out))
    }

    fn show_logs_after_panic(&self, shown: usize) {
        if std::thread::panicking() {
            for service in self.services() {
                let warnings =
                    service.last_lines(WARNINGS, |line| line.contains("WARN") || line.contains("ERROR"));
                eprintln!(
                    "--- {}'s warnings, and the end of its log:\n{warnings}\n{}",
                    service.name(),
                    service.tail(shown)
                );
            }
        }
    }
}

impl Stack {
    /// If `ROLLCALL_E2E_LOGS` names a folder, copies the logs there.
    fn keep_logs(&self) {
        let Some(kept) = std::env::var_os("ROLLCALL_E2E_LOGS").map(PathBuf::from) else { return };
        let kept = kept.join(self.folder.file_name().unwrap_or_default());
        let copy = || -> std::io::Result<()> {
            std::fs::create_dir_all(&kept)?;
            for entry in std::fs::read_dir(self.folder.join("log"))? {
                let entry = entry?;
                std::fs::copy(entry.path(), kept.join(entry.file_name()))?;
            }
            Ok(())
        };
        if let Err(error) = copy() {
            eprintln!("the logs could not be kept in {}: {error}", kept.display());
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.show_logs_after_panic(SHOWN);
        self.keep_logs();
    }
}

impl Said {
    /// Runs a program to its end.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn by(mut command: Command) -> Self {
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("it is a program");
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that the exit code is 0.
    ///
    /// # Panics
    /// If it is not.
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "out: {}\nerr: {}", self.out, self.err);
        self
    }
}

//! A private pair of PostgreSQL and RabbitMQ, run by `deploy/servers`: one shared by the test process, and separate
//! ones for tests that stop them. Every stack on a pair has its own database and virtual host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;

use crate::{db, programs, reaper};

/// The maximum number of stacks on the shared pair. Their virtual hosts are created at once, because each rabbitmqctl
/// takes seconds.
const ROOM: u32 = 200;
/// The same for a separate pair: few, because a restarting broker starts each virtual host.
const OWN_ROOM: u32 = 2;

/// Connection strings, as `deploy/servers` writes them: those of the owner, and of the user of each program.
#[derive(Clone, Debug)]
pub struct Urls(BTreeMap<String, String>);

impl Urls {
    /// Those in a `servers.env`.
    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("deploy/servers writes it");
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(
            pairs
                .filter(|(name, _)| name.ends_with("_URL"))
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
        )
    }

    /// The same users at another database and virtual host.
    fn at(&self, database: &str, vhost: &str) -> Self {
        let replace = |(name, url): (&String, &String)| {
            let place = if name.ends_with("AMQP_URL") { vhost } else { database };
            (name.clone(), format!("{}/{place}", url.rsplit_once('/').expect("a URL has slashes").0))
        };
        Self(self.0.iter().map(replace).collect())
    }

    /// The URL in this line of `servers.env`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("servers.env has no {name}"))
    }

    /// The `DATABASE_URL` or `AMQP_URL` of a program.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn of(&self, program: &str, name: &str) -> &str {
        let user = program.trim_start_matches("sabotaged-").to_uppercase();
        self.get(&format!("{user}_{name}"))
    }
}

/// A pair of servers.
pub struct Servers {
    folder: PathBuf,
    urls: Urls,
    room: u32,
    taken: AtomicU32,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// RabbitMQ.
    RabbitMq,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

impl Servers {
    /// The pair shared by all tests of this process. Tests must not stop it.
    pub async fn shared() -> Arc<Self> {
        static SHARED: OnceCell<Arc<Servers>> = OnceCell::const_new();
        SHARED.get_or_init(async || Self::with_room(ROOM).await).await.clone()
    }

    /// A separate pair; removed with the last reference.
    ///
    /// # Panics
    /// If `deploy/servers` fails.
    pub async fn own() -> Arc<Self> {
        Self::with_room(OWN_ROOM).await
    }

    async fn with_room(room: u32) -> Arc<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("rollcall-e2e-{}-{number}", std::process::id()));
        reaper::watch_servers(&folder);
        tokio::task::spawn_blocking(move || {
            deploy(&folder, &["start"], &[]);
            let urls = Urls::read(&folder.join("servers.env"));
            deploy(&folder, &["rabbitmqctl"], &["eval", &make_vhosts(room)]);
            Arc::new(Self { folder, urls, room, taken: AtomicU32::new(0) })
        })
        .await
        .unwrap()
    }

    /// Creates a database and reserves a virtual host; returns the connection strings.
    ///
    /// # Panics
    /// If the pair is full, or Postgres fails.
    pub async fn place(&self) -> Urls {
        let number = self.taken.fetch_add(1, Ordering::SeqCst);
        assert!(number < self.room, "too many stacks on one pair of servers: raise its room");
        let name = format!("place_{number}");
        db::Db::new(self.urls.get("DATABASE_URL")).execute(&format!("create database {name}")).await;
        self.urls.at(&name, &name)
    }

    /// The run directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stops a server gracefully.
    pub async fn stop(&self, server: Server) {
        self.deploy(format!("stop-{}", server.name())).await;
    }

    /// Starts a server again and waits until it accepts connections.
    pub async fn start(&self, server: Server) {
        self.deploy(format!("start-{}", server.name())).await;
    }

    /// Runs `rabbitmqctl`.
    pub async fn rabbitmqctl(&self, arguments: &'static [&'static str]) {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || deploy(&folder, &["rabbitmqctl"], arguments)).await.unwrap();
    }

    /// Kills a server with SIGKILL; [`Servers::start`] starts it again.
    ///
    /// # Panics
    /// If it is not running.
    pub async fn crash(&self, server: Server) {
        let pid = std::fs::read_to_string(self.folder.join("pids").join(server.name())).expect("it runs");
        let killed = Command::new("sh").args(["-c", r#"kill -s KILL "$1""#, "kill", pid.trim()]).status();
        assert!(killed.expect("there is a shell").success(), "{} cannot be killed", server.name());
        let gone = format!("/proc/{}", pid.trim());
        crate::eventually("the server has exited", std::time::Duration::from_secs(10), async || {
            // Its parent may not have reaped it yet.
            let state = std::fs::read_to_string(format!("{gone}/stat")).unwrap_or_default();
            (state.is_empty() || state.contains(") Z ")).then_some(())
        })
        .await;
    }

    /// SIGSTOP to all its processes: it hangs, but the kernel still accepts connections.
    pub fn freeze(&self, server: Server) {
        self.signal(server, "STOP");
    }

    /// SIGCONT: it continues.
    pub fn thaw(&self, server: Server) {
        self.signal(server, "CONT");
    }

    /// A server's port.
    ///
    /// # Panics
    /// Never: `deploy/servers` writes the ports into its URLs.
    #[must_use]
    pub fn port(&self, server: Server) -> u16 {
        let url = match server {
            Server::Postgres => self.urls.get("DATABASE_URL"),
            Server::RabbitMq => self.urls.get("AMQP_URL"),
        };
        let host = url.rsplit('@').next().and_then(|rest| rest.split('/').next());
        host.and_then(|host| host.rsplit(':').next()?.parse().ok()).expect("the URL has a port")
    }

    /// Evaluates Erlang code in the broker, if it is running.
    pub async fn try_rabbitmq_eval(&self, code: &str) {
        let (folder, code) = (self.folder.clone(), code.to_owned());
        let eval = move || try_deploy(&folder, &["rabbitmqctl"], &["eval", &code]);
        let _ = tokio::task::spawn_blocking(eval).await.unwrap();
    }

    /// Sends a signal to the server and its children, if it is running.
    fn signal(&self, server: Server, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("pids").join(server.name())).unwrap_or_default();
        let script = r#"for stat in /proc/[0-9]*/stat; do
            { read -r line <"$stat"; } 2>/dev/null || continue
            rest=${line##*) }
            set -- "$1" "$2" $rest
            if [ "$4" = "$2" ]; then kill -s "$1" "${line%% *}"; fi
          done; kill -s "$1" "$2""#;
        let status = Command::new("bash")
            .args(["-c", script, "signal", signal, pid.trim()])
            .stderr(Stdio::null())
            .status();
        status.expect("there is a shell");
    }

    async fn deploy(&self, command: String) {
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || deploy(&folder, &[&command], &[])).await.unwrap();
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // A panic here would hide the one that is being unwound.
        if let Err(said) = try_deploy(&self.folder, &["remove"], &[]) {
            eprintln!("{said}");
        }
        reaper::forget(&self.folder.display().to_string());
    }
}

/// Erlang code that creates the virtual hosts, where each user has the same permissions as in the default one.
fn make_vhosts(room: u32) -> String {
    format!(
        r#"Get = fun proplists:get_value/2, A = <<"tests">>,
           Permissions = rabbit_auth_backend_internal:list_vhost_permissions(<<"/">>),
           Topics = rabbit_auth_backend_internal:list_vhost_topic_permissions(<<"/">>),
           [begin
             V = list_to_binary("place_" ++ integer_to_list(N)),
             rabbit_vhost:add(V, A),
             [rabbit_auth_backend_internal:set_permissions(
                Get(user, P), V, Get(configure, P), Get(write, P), Get(read, P), A) || P <- Permissions],
             [rabbit_auth_backend_internal:set_topic_permissions(
                Get(user, T), V, Get(exchange, T), Get(write, T), Get(read, T), A) || T <- Topics]
           end || N <- lists:seq(0, {})], ok."#,
        room - 1
    )
}

fn deploy(folder: &Path, command: &[&str], arguments: &[&str]) {
    try_deploy(folder, command, arguments).unwrap_or_else(|said| panic!("{said}"));
}

fn try_deploy(folder: &Path, command: &[&str], arguments: &[&str]) -> Result<(), String> {
    let script = programs::checkout().join("deploy/servers");
    let done = Command::new(script)
        .args(command)
        .arg("--run-dir")
        .arg(folder)
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env_remove("AMQP_URL")
        .output()
        .expect("deploy/servers can be started");
    if done.status.success() {
        return Ok(());
    }
    Err(format!("deploy/servers {command:?} failed:\n{}", String::from_utf8_lossy(&done.stderr)))
}

//! The process of the SCIM server: reads the configuration, connects to its dependencies, and serves until a signal.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use amqp::Link;
use database::{self, Pool, migrations};
use ingest::app::App;
use ingest::config::Config;
use ingest::http::{response, tally};
use ingest::pull::Pulls;
use ingest::{roles, router};
use platform::clock::Clock;
use platform::config::{self, Env, Problems, Service};
use platform::health::Health;
use platform::http::{self, Limits};
use platform::{log, shutdown};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

const ABOUT: &str =
    "The SCIM server: accepts changes of users and groups from an identity provider and queues them.";

/// How long startup waits for the broker before requests are served.
const START: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = config::handle_arguments(Service::Ingest, ABOUT) {
        return code;
    }
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ingest: {failure}");
            failure.exit_code()
        }
    }
}

async fn run() -> Result<(), Failure> {
    let config = Config::read(Env::of_process(Service::Ingest))?;
    log::init(&config.log, config.log_format);
    let listener = listen(config.listen)?;
    let stopping = shutdown::on_signal_after(config.drain).map_err(Failure::Signals)?;
    // The link outlives `stop`: requests in flight still wait for their replies.
    let drained = CancellationToken::new();

    let health = Health::new(&["postgres", "rabbitmq", "schema"]);
    let pool = Pool::new(&config.database_url.0, config.db_connections).map_err(Failure::DatabaseUrl)?;
    let link = Link::start(&config.amqp_url.0, "ingest", config.queue_limit, health.clone(), drained.clone())
        .map_err(Failure::AmqpUrl)?;
    tokio::spawn(database::watch(pool.clone(), health.clone(), drained.clone()));
    tokio::spawn(migrations::watch(pool.clone(), health.clone(), drained.clone()));
    tokio::spawn(say_goodbye(health.clone(), stopping.leaving.clone()));

    info!(address = %config.listen, "listening");
    if config.secret_key.is_none() {
        info!("ROLLCALL_SECRET_KEY is not set; this process runs no pulls from Okta");
    }
    let pulls = config.secret_key.clone().map(|key| {
        let pulls = Pulls::new(pool.clone(), link.clone(), key, config.pull_at.clone(), Clock::System);
        tokio::spawn(pulls.run(stopping.stop.clone()))
    });
    let limits = Limits {
        connections_per_address: config.connections_per_address,
        trusted_proxies: config.trusted_proxies.clone(),
        ..Limits::default()
    };
    let app = App::new(config, pool, link.clone());
    let roles = tokio::spawn(roles::run(app.clone(), link.clone(), stopping.stop.clone()));
    tokio::spawn(app.dispatcher.clone().watch_clocks(health.clone(), drained.clone()));
    let refusals = tokio::spawn(app.refusals.clone().run(drained.clone()));
    let router = router::router(app.clone(), &health);
    // Until then, new connections wait to be accepted. That is better than a 429 because of a missing queue.
    let _ = timeout(START, link.clone().up()).await;
    let in_hand = tokio::spawn(end_of_grace(stopping.stop.clone()));
    http::serve(listener, router, response::unreadable, limits, stopping, shutdown::GRACE).await;
    // Requests whose clients disconnected get the same grace period.
    app.detached.finish(in_hand.await.unwrap_or_else(|_| Instant::now())).await;
    // A panic has been logged already.
    let _ = roles.await;
    app.dispatcher.finish().await;
    if let Some(pulls) = pulls {
        let _ = pulls.await;
    }
    drained.cancel();
    let _ = refusals.await;
    tally::flush();
    info!("stopped");
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    http::listen(address).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => Failure::PortTaken(address),
        _ => Failure::Listen { address, source },
    })
}

/// The time at which the grace period of requests in flight ends.
async fn end_of_grace(stop: CancellationToken) -> Instant {
    stop.cancelled().await;
    Instant::now() + shutdown::GRACE
}

/// Reports not ready from the first signal, so that load balancers send no new requests.
async fn say_goodbye(health: Health, leaving: CancellationToken) {
    leaving.cancelled().await;
    health.stopping();
}

/// Why the server failed to start.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error("DATABASE_URL {0}")]
    DatabaseUrl(String),
    #[error("AMQP_URL {0}")]
    AmqpUrl(String),
    #[error("port {} of {} is in use by another program; set ROLLCALL_PORT to a free one", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    #[error("cannot listen on {address} ({source}); check ROLLCALL_LISTEN and ROLLCALL_PORT")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("cannot listen for signals ({0})")]
    Signals(std::io::Error),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::DatabaseUrl(_) | Self::AmqpUrl(_) => ExitCode::from(2),
            Self::PortTaken(_) | Self::Listen { .. } | Self::Signals(_) => ExitCode::FAILURE,
        }
    }
}

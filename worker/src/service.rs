//! The service `worker`, from configuration to shutdown: consumes commands from RabbitMQ, applies them to Postgres, and
//! relays the events. Used by the binaries `worker` and `sabotaged-worker`.

use std::process::ExitCode;
use std::sync::Arc;

use amqp::{Link, Publisher, topology};
use database::{self, Limits, Pool, migrations};
use platform::clock::Clock;
use platform::config::{self, Env, Problems, Service};
use platform::health::Health;
use platform::log::Format;
use platform::retry::Delays;
use platform::{log, shutdown};
use tokio::sync::{Notify, RwLock};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::apply::{Applier, Turns};
use crate::complete::Completer;
use crate::consumer::Consumer;
use crate::status::{self, Progress};
use crate::{backfill, cleaner, expiring_keys, relay, retirement};

const ABOUT: &str = "The worker applies the commands in rollcall.commands and rollcall.commands.bulk to PostgreSQL in batches, and relays the events.\n\
    Start as many workers as you like; they share the load.";

/// The maximum number of commands in one transaction of the bulk queue, where no client waits.
const BULK_BATCH: u16 = 10;

struct Config {
    database_url: String,
    amqp_url: String,
    connections: u32,
    batch: u16,
    queue_limit: u32,
    health: Option<std::net::SocketAddr>,
    log: String,
    log_format: Format,
}

/// Runs the service: reads the arguments and the environment, then works until a stop signal.
pub async fn main() -> ExitCode {
    if let Some(code) = config::handle_arguments(Service::Worker, ABOUT) {
        return code;
    }
    let config = match read(Env::of_process(Service::Worker)) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(2);
        }
    };
    log::init(&config.log, config.log_format);
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            error!(problem, "worker failed");
            ExitCode::FAILURE
        }
    }
}

fn read(mut env: Env) -> Result<Config, Problems> {
    let config = Config {
        database_url: env.checked_url("DATABASE_URL", &["postgres", "postgresql"], database::check_url),
        amqp_url: env.amqp_url(),
        connections: env.number("ROLLCALL_DB_CONNECTIONS", 2..=200),
        batch: u16::try_from(env.number("ROLLCALL_BATCH", 1..=1000)).unwrap_or(u16::MAX),
        queue_limit: env.number("ROLLCALL_QUEUE_LIMIT", 1..=10_000_000),
        health: env.health_address(),
        log: env.log_filter(),
        log_format: env.get("ROLLCALL_LOG_FORMAT"),
    };
    env.finish().map(|()| config)
}

async fn run(config: Config) -> Result<(), String> {
    let stop = shutdown::on_signal().map_err(|e| format!("cannot listen for signals: {e}"))?;
    let health = Health::new(&["postgres", "rabbitmq", "schema"]);
    let pool = Pool::with(&config.database_url, config.connections as usize, Limits::WORKER)
        .map_err(|e| format!("DATABASE_URL {e}"))?;
    // The link outlives the consumers: a dead letter or a last event may still have to be published.
    let hang_up = CancellationToken::new();
    let link = Link::start(&config.amqp_url, "worker", config.queue_limit, health.clone(), hang_up.clone())
        .map_err(|e| format!("AMQP_URL {e}"))?;
    platform::health::serve(config.health, &health, &hang_up).await?;
    tokio::spawn(database::watch(pool.clone(), health.clone(), hang_up.clone()));
    if migrate(&pool, &health, &stop).await {
        work(config, pool, link, &health, stop).await?;
    }
    hang_up.cancel();
    info!("worker stopped");
    Ok(())
}

/// Runs the migrations as soon as Postgres is available, if the database user owns the schema; else waits until somebody
/// has run them. If several workers start together, the first one migrates. The schema of a later version is left as it
/// is. Returns `false` if the service stops first.
async fn migrate(pool: &Pool, health: &Health, stop: &CancellationToken) -> bool {
    let (mut delays, mut reported) = (Delays::reconnect(), false);
    loop {
        let migrated = tokio::select! {
            () = stop.cancelled() => return false,
            migrated = migrations::run_if_owner(pool) => migrated,
        };
        match migrated {
            Ok(Some(migrated)) => {
                for name in migrated.applied {
                    info!(name, "migrated");
                }
                health.set("schema", Ok(()));
                return true;
            }
            Ok(None) => {
                if health.set("schema", Err("not migrated to this version yet: run `rollcall migrate`")) {
                    warn!(
                        "the schema has not this version, and the database user does not own it: waiting for `rollcall migrate`"
                    );
                }
            }
            Err(error) => {
                health.set("schema", Err("not migrated yet"));
                if !reported {
                    warn!(%error, "failed to migrate the schema, retrying");
                }
                reported = true;
            }
        }
        if !shutdown::pause(stop, delays.next_delay()).await {
            return false;
        }
    }
}

/// Works until `stop`, then finishes the batches in progress.
async fn work(
    config: Config,
    pool: Pool,
    link: Link,
    health: &Health,
    stop: CancellationToken,
) -> Result<(), String> {
    let clock = Clock::System;
    let worker = platform::id::new();
    tokio::spawn(cleaner::run(pool.clone(), clock.clone(), stop.clone()));
    tokio::spawn(expiring_keys::run(pool.clone(), clock.clone(), stop.clone()));
    tokio::spawn(backfill::run(pool.clone(), stop.clone()));
    let retired = retirement::run(pool.clone(), Publisher::new(link.clone()), clock.clone(), stop.clone());
    tokio::spawn(retired);

    let (wake_relay, in_progress) = (Arc::new(Notify::new()), Arc::new(RwLock::new(())));
    let turns = Arc::new(Turns::of(config.connections as usize));
    let completer = |queue| Completer {
        queue,
        publisher: Publisher::new(link.clone()),
        applier: Applier {
            worker,
            pool: pool.clone(),
            clock: clock.clone(),
            in_progress: in_progress.clone(),
            turns: turns.clone(),
            progress: Progress::new(queue),
            stop: stop.clone(),
        },
        wake_relay: wake_relay.clone(),
    };
    let (prompt, bulk) = (completer(topology::COMMANDS), completer(topology::BULK));
    let queues = [&prompt, &bulk].map(|completer| completer.applier.progress.clone()).to_vec();
    let consumer = |completer, limit| Consumer::new(link.clone(), completer, limit, stop.clone());
    let prompt = consumer(prompt, config.batch);
    let bulk = consumer(bulk, config.batch.min(BULK_BATCH));
    let last_batch = CancellationToken::new();
    let status = tokio::spawn(status::run(worker, pool.clone(), queues, last_batch.clone()));
    let mut prompt = tokio::spawn(prompt.run());
    let mut bulk = tokio::spawn(bulk.run());
    let mut relay = tokio::spawn(relay::run(pool, Publisher::new(link), wake_relay, last_batch.clone()));
    info!(worker = %worker, "worker started");
    tokio::select! {
        // A stop is checked first: tasks that end because of it have not panicked.
        biased;
        () = stop.cancelled() => {}
        _ = &mut prompt => return Err(format!("the consumer of {} panicked", topology::COMMANDS)),
        _ = &mut bulk => return Err(format!("the consumer of {} panicked", topology::BULK)),
        _ = &mut relay => return Err("the relay panicked".to_owned()),
    }
    health.stopping();
    let finish = async {
        // A panic was logged where it happened, and leaves nothing to finish.
        let _ = (prompt.await, bulk.await);
        last_batch.cancel();
        let _ = (relay.await, status.await);
    };
    shutdown::within_grace(&stop, finish).await;
    Ok(())
}

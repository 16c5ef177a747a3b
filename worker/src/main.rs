//! The service `worker`: takes commands from RabbitMQ, applies them to Postgres, relays the events.

use std::process::ExitCode;
use std::sync::Arc;

use shared::amqp::{Link, Publisher, topology};
use shared::clock::Clock;
use shared::config::{self, Env, Problems, Service};
use shared::health::Health;
use shared::postgres::{self, Pool};
use shared::telemetry::Format;
use shared::{shutdown, telemetry};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use worker::apply::Applier;
use worker::consumer::Consumer;
use worker::{backfill, cleaner, relay};

const ABOUT: &str = "worker applies the commands in rollcall.commands and rollcall.commands.bulk to PostgreSQL, in batches, and relays the events.\n\
    Start as many as you like; they share the work.";

/// The most commands that nobody waits for in one transaction.
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

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = config::answer_arguments(Service::Worker, ABOUT) {
        return code;
    }
    let config = match read(Env::of_process(Service::Worker)) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(2);
        }
    };
    telemetry::init(&config.log, config.log_format);
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            error!(problem, "worker gave up");
            ExitCode::FAILURE
        }
    }
}

fn read(mut env: Env) -> Result<Config, Problems> {
    let config = Config {
        database_url: env.url("DATABASE_URL", &["postgres", "postgresql"]),
        amqp_url: env.url("AMQP_URL", &["amqp", "amqps"]),
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
    let stop = shutdown::on_signal().map_err(|e| format!("cannot listen to signals: {e}"))?;
    let clock = Clock::System;
    let health = Health::new(&["postgres", "rabbitmq"]);
    let pool = Pool::new(&config.database_url, config.connections as usize)
        .map_err(|e| format!("DATABASE_URL {e}"))?;
    // The link outlives the consumer: a dead letter or a last event may still have to go out.
    let hang_up = CancellationToken::new();
    let link = Link::start(&config.amqp_url, "worker", config.queue_limit, health.clone(), hang_up.clone())
        .map_err(|e| format!("AMQP_URL {e}"))?;
    shared::health::serve(config.health, &health, &hang_up).await?;
    tokio::spawn(postgres::watch(pool.clone(), health.clone(), hang_up.clone()));
    tokio::spawn(cleaner::run(pool.clone(), clock.clone(), stop.clone()));
    tokio::spawn(backfill::run(pool.clone(), stop.clone()));

    let bell = Arc::new(Notify::new());
    let applier = Arc::new(Applier::new(pool.clone(), clock.clone(), stop.clone()));
    let consumer = |queue, limit| Consumer {
        queue,
        link: link.clone(),
        publisher: Publisher::new(link.clone()),
        applier: applier.clone(),
        clock: clock.clone(),
        bell: bell.clone(),
        limit,
        stop: stop.clone(),
    };
    let last_batch = CancellationToken::new();
    let mut prompt = tokio::spawn(consumer(topology::COMMANDS, config.batch).run());
    let mut bulk = tokio::spawn(consumer(topology::BULK, config.batch.min(BULK_BATCH)).run());
    let mut relay = tokio::spawn(relay::run(pool, Publisher::new(link), bell, last_batch.clone()));
    info!("worker started");
    tokio::select! {
        // First: what ends because it was stopped has not panicked.
        biased;
        () = stop.cancelled() => {}
        _ = &mut prompt => return Err(format!("the consumer of {} panicked", topology::COMMANDS)),
        _ = &mut bulk => return Err(format!("the consumer of {} panicked", topology::BULK)),
        _ = &mut relay => return Err("the relay panicked".to_owned()),
    }
    health.stopping();
    let finish = async {
        // A panic was logged where it happened; there is nothing left to finish then.
        let _ = (prompt.await, bulk.await);
        last_batch.cancel();
        let _ = relay.await;
    };
    shutdown::within_grace(&stop, finish).await;
    hang_up.cancel();
    info!("worker stopped");
    Ok(())
}

//! The notifier: from an event to a decision, a row of the ledger, and a mail. Before it: RabbitMQ's queue
//! `rollcall.events`; after it: a mail server, or a folder of `.eml` files.

mod apply;
mod backoff;
mod changes;
mod cleaner;
mod config;
mod consumer;
mod decide;
mod intake;
mod mail;
mod office;
mod parking;
mod sender;
mod store;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use shared::amqp::{Link, Publisher};
use shared::clock::Clock;
use shared::config::{Env, Service, answer_arguments};
use shared::health::Health;
use shared::{postgres, shutdown, telemetry};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use config::Config;
use consumer::Consumer;
use mail::folder::Folder;
use mail::message::Writer;
use mail::transport::Transport;
use office::Office;
use sender::Sender;

const ABOUT: &str = "Decides which mail a person gets, and sends it.";
/// How often the mail folder is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long taking leave of the broker may take.
const GOODBYE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(answered) = answer_arguments(Service::Notifier, ABOUT) {
        return answered;
    }
    let config = match Config::read(Env::of_process(Service::Notifier)) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(2);
        }
    };
    telemetry::init(&config.log, config.log_format);
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "notifier gave up");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let stop = shutdown::on_signal()?;
    // What the work rests on stops after the work.
    let down = CancellationToken::new();
    let needed: &[&str] = match &config.transport {
        Transport::Folder(_) => &["postgres", "rabbitmq", "mail"],
        Transport::Smtp(_) => &["postgres", "rabbitmq"],
    };
    let health = Health::new(needed);
    let link = Link::start(&config.amqp_url, "notifier", config.queue_limit, health.clone(), down.clone())?;
    tokio::spawn(postgres::watch(config.pool.clone(), health.clone(), down.clone()));
    if let Transport::Folder(folder) = &config.transport {
        tokio::spawn(watch(folder.clone(), health.clone(), down.clone()));
    }
    shared::health::serve(config.health, &health, &down).await?;

    if config.unsubscribe.is_none() {
        warn!(
            "mail has no link to stop it: ROLLCALL_UNSUBSCRIBE_KEY and ROLLCALL_PUBLIC_URL are not both set"
        );
    }
    let office = Arc::new(Office::new(config.pool, config.gather, Clock::System));
    let publisher = Arc::new(Publisher::new(link.clone()));
    let with_templates = config.templates.tenants();
    let writer =
        Writer::new(config.from, config.learning_url, config.templates, config.signer, config.unsubscribe);
    let mut work = JoinSet::new();
    work.spawn(Consumer::new(office.clone(), publisher.clone(), stop.clone()).run(link.clone()));
    work.spawn(
        Sender::new(office.clone(), writer, config.transport, config.mail_timeout, stop.clone()).run(),
    );
    work.spawn(parking::run(office.clone(), publisher, stop.clone()));
    work.spawn(cleaner::run(office.clone(), stop.clone()));
    tokio::spawn(look_for_tenants(office, with_templates, down.clone()));
    info!("started");

    let mark = health.clone();
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        mark.stopping();
    });
    tokio::select! {
        // First: what ends because it was stopped has not panicked.
        biased;
        () = stop.cancelled() => {}
        _ = work.join_next() => return Err("a part of it panicked".into()),
    }
    shutdown::within_grace(&stop, async { while work.join_next().await.is_some() {} }).await;
    say_goodbye(&link).await;
    down.cancel();
    info!("stopped");
    Ok(())
}

/// Keeps `health` true to whether the mail folder can be written, until `stop`.
async fn watch(folder: Folder, health: Health, stop: CancellationToken) {
    loop {
        let look = folder.clone();
        let state = tokio::task::spawn_blocking(move || look.check()).await.unwrap_or_else(|e| Err(e.into()));
        if health.set("mail", state.as_ref().copied().map_err(|_| "the folder cannot be written")) {
            match state {
                Ok(()) => info!("the mail folder is there"),
                Err(error) => warn!(%error, "the mail folder cannot be written"),
            }
        }
        if !shutdown::pause(&stop, LOOK).await {
            return;
        }
    }
}

/// Warns, once Postgres is there, of folders of templates that are named like no tenant. (A tenant may be added later.)
async fn look_for_tenants(office: Arc<Office>, folders: Vec<String>, stop: CancellationToken) {
    let names: Vec<&str> = folders.iter().map(String::as_str).collect();
    while !names.is_empty() {
        let look = async |connection: &mut _| store::roster::tenants(connection, &names).await;
        if let Ok(known) = office.pool.bounded(look).await {
            for folder in names.iter().filter(|name| !known.contains_key(**name)) {
                warn!(folder, "ROLLCALL_MAIL_TEMPLATES has a folder for a tenant that there is not");
            }
            return;
        }
        if !shutdown::pause(&stop, LOOK).await {
            return;
        }
    }
}

async fn say_goodbye(link: &Link) {
    if let Ok(connection) = link.connection() {
        // The broker would only note that the connection broke.
        let _ = tokio::time::timeout(GOODBYE, connection.close(200, "stopped".into())).await;
    }
}

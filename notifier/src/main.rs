//! The notifier: consumes events from the queue `rollcall.events`, decides, records the decisions in the ledger, and
//! sends mail to a mail server or a folder of `.eml` files.

mod addressed;
mod apply;
mod changes;
mod cleaner;
mod config;
mod consumer;
mod decide;
mod intake;
mod key_notices;
mod mail;
mod parking;
mod retry_pause;
mod sender;
mod shared_state;
mod store;
mod surplus;
mod turns;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use amqp::{Link, Publisher};
use platform::clock::Clock;
use platform::config::{Env, Service, handle_arguments};
use platform::health::Health;
use platform::{log, shutdown};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use config::Config;
use consumer::Consumer;
use key_notices::KeyNotices;
use mail::folder::Folder;
use mail::message::Writer;
use mail::transport::Transport;
use sender::Sender;
use shared_state::SharedState;

const ABOUT: &str = "Decides which mail users receive, and sends it.";
/// How often the mail folder is checked.
const LOOK: Duration = Duration::from_secs(5);
/// The timeout for closing the AMQP connection.
const GOODBYE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = handle_arguments(Service::Notifier, ABOUT) {
        return code;
    }
    let config = match Config::read(Env::of_process(Service::Notifier)) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(2);
        }
    };
    log::init(&config.log, config.log_format);
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "the notifier failed");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn Error>> {
    let stop = shutdown::on_signal()?;
    // Cancelled after the work has stopped, for what the work depends on.
    let down = CancellationToken::new();
    let needed: &[&str] = match &config.transport {
        Transport::Folder(_) => &["postgres", "rabbitmq", "mail"],
        Transport::Smtp(_) => &["postgres", "rabbitmq"],
    };
    let health = Health::new(needed);
    let link = Link::start(&config.amqp_url, "notifier", config.queue_limit, health.clone(), down.clone())?;
    tokio::spawn(database::watch(config.pool.clone(), health.clone(), down.clone()));
    if let Transport::Folder(folder) = &config.transport {
        tokio::spawn(watch(folder.clone(), health.clone(), down.clone()));
    }
    platform::health::serve(config.health, &health, &down).await?;

    if config.unsubscribe.is_none() {
        warn!("mail has no unsubscribe link: set ROLLCALL_UNSUBSCRIBE_KEY and ROLLCALL_PUBLIC_URL");
    }
    let shared = Arc::new(SharedState::new(config.pool, config.gather, Clock::System));
    let publisher = Arc::new(Publisher::new(link.clone()));
    let with_templates = config.templates.tenants();
    let writer =
        Writer::new(config.from, config.learning_url, config.templates, config.signer, config.unsubscribe);
    let (writer, transport) = (Arc::new(writer), Arc::new(config.transport));
    let mut work = JoinSet::new();
    work.spawn(Consumer::new(shared.clone(), publisher.clone(), stop.clone()).run(link.clone()));
    work.spawn(
        Sender::new(shared.clone(), writer.clone(), transport.clone(), config.mail_timeout, stop.clone())
            .run(),
    );
    let (shared_too, timeout, ends) = (shared.clone(), config.mail_timeout, stop.clone());
    work.spawn(KeyNotices { shared: shared_too, writer, transport, timeout, stop: ends }.run());
    work.spawn(parking::run(shared.clone(), publisher.clone(), stop.clone()));
    work.spawn(surplus::run(shared.clone(), publisher, stop.clone()));
    work.spawn(cleaner::run(shared.clone(), stop.clone()));
    tokio::spawn(look_for_tenants(shared, with_templates, down.clone()));
    info!("started");

    let mark = health.clone();
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        mark.stopping();
    });
    tokio::select! {
        // Biased, because a task that ends after the stop signal has not panicked.
        biased;
        () = stop.cancelled() => {}
        _ = work.join_next() => return Err("a task panicked".into()),
    }
    shutdown::within_grace(&stop, async { while work.join_next().await.is_some() {} }).await;
    say_goodbye(&link).await;
    down.cancel();
    info!("stopped");
    Ok(())
}

/// Reports to `health` whether the mail folder is writable, until `stop`.
async fn watch(folder: Folder, health: Health, stop: CancellationToken) {
    loop {
        let look = folder.clone();
        let state = tokio::task::spawn_blocking(move || look.check()).await.unwrap_or_else(|e| Err(e.into()));
        if health.set("mail", state.as_ref().copied().map_err(|_| "the folder cannot be written")) {
            match state {
                Ok(()) => info!("the mail folder is writable"),
                Err(error) => warn!(%error, "the mail folder cannot be written"),
            }
        }
        if !shutdown::pause(&stop, LOOK).await {
            return;
        }
    }
}

/// Warns once about template folders that match no tenant. (A tenant may be added later.)
async fn look_for_tenants(shared: Arc<SharedState>, folders: Vec<String>, stop: CancellationToken) {
    let names: Vec<&str> = folders.iter().map(String::as_str).collect();
    while !names.is_empty() {
        let look = async |connection: &mut _| store::roster::tenants(connection, &names).await;
        if let Ok(known) = shared.pool.bounded(look).await {
            for folder in names.iter().filter(|name| !known.contains_key(**name)) {
                warn!(folder, "ROLLCALL_MAIL_TEMPLATES has a folder for an unknown tenant");
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
        // Without this, the broker logs an unexpected disconnect.
        let _ = tokio::time::timeout(GOODBYE, connection.close(200, "stopped".into())).await;
    }
}

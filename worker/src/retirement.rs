//! Deletes users who were archived for longer than their tenant wants (setting `retain_archived_days`), by the same
//! command as a client's DELETE. A user who has changed since is not deleted.

use std::time::Duration;

use amqp::{Message, Publisher, topology};
use database::Pool;
use database::schema::{tenants, users};
use diesel::prelude::*;
use diesel::sql_query;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use domain::command::{Actor, Change, Command, Fingerprint, IfMatch};
use domain::settings::Settings;
use domain::ticket::TicketClock;
use platform::clock::Clock;
use platform::retry::Delays;
use platform::shutdown;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use uuid::Uuid;

/// How often to look.
const EVERY: Duration = Duration::from_secs(3_600);
/// The maximum number of users of one tenant that are deleted each time.
const AT_ONCE: i64 = 1_000;

/// Takes the advisory lock that lets one worker do this at a time. Nothing else uses this number.
const TRY_LOCK: &str = "select pg_try_advisory_xact_lock(7241990427) as is_ours";

#[derive(QueryableByName)]
struct Lock {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    is_ours: bool,
}

/// Why no deletion was queued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Postgres(#[from] database::Error),
    /// The broker accepts no messages.
    #[error(transparent)]
    Amqp(#[from] amqp::Error),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        Self::Postgres(error.into())
    }
}

/// Queues deletions at the start and then periodically, until `stop`.
pub async fn run(pool: Pool, publisher: Publisher, clock: Clock, stop: CancellationToken) {
    let mut delays = Delays::reconnect();
    loop {
        let wait = match retire(&pool, &publisher, &clock).await {
            Ok(users) => {
                if users > 0 {
                    info!(users, "queued the deletion of users who were archived long enough");
                }
                delays.reset();
                EVERY
            }
            // Outages are logged by the tasks that watch the servers.
            Err(error) => {
                debug!(%error, "failed to queue the deletion of archived users: retrying");
                delays.next_delay()
            }
        };
        if !shutdown::pause(&stop, wait).await {
            return;
        }
    }
}

/// Queues the deletion of some users of each tenant; returns how many. Does nothing if another worker is at it.
///
/// # Errors
/// See [`Error`].
pub async fn retire(pool: &Pool, publisher: &Publisher, clock: &Clock) -> Result<usize, Error> {
    let mut connection = pool.get().await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    let all: Vec<(Uuid, Value)> =
        tenants::table.select((tenants::id, tenants::settings)).load(connection).await?;
    let mut queued = 0;
    for (tenant, stored) in all {
        let chosen = Settings::stored(tenant, &stored).retention.retain_archived_days.get();
        let Some(days) = chosen else { continue };
        let before = clock.now() - time::Duration::days(days.into());
        let work = async |connection: &mut AsyncPgConnection| {
            let lock: Lock = sql_query(TRY_LOCK).get_result(connection).await?;
            if !lock.is_ours {
                return Ok(0);
            }
            let old: Vec<(Uuid, i64)> = users::table
                .filter(users::tenant_id.eq(tenant).and(users::archived_at.lt(before)))
                .order(users::id)
                .limit(AT_ONCE)
                .select((users::id, users::version))
                .load(connection)
                .await?;
            let tickets = TicketClock::new(clock.clone());
            let deletions =
                old.iter().map(|(user, version)| deletion(&tickets, clock, tenant, *user, *version));
            let messages: Vec<Message> = deletions.collect();
            publisher.publish(&messages).await?;
            Ok::<usize, Error>(messages.len())
        };
        queued += connection.transaction(work).await?;
    }
    Ok(queued)
}

fn deletion(tickets: &TicketClock, clock: &Clock, tenant: Uuid, user: Uuid, version: i64) -> Message {
    let (ticket, issued_at, change) = (tickets.issue(), clock.now(), Change::DeleteUser);
    let place = format!("{user} {version}");
    let command = Command {
        version: Actor::Operator.version(),
        ticket,
        tenant,
        // The operator chose the setting.
        actor: Actor::Operator,
        request: platform::id::new(),
        fingerprint: Fingerprint::of(tenant, "retention", &place, &[], None),
        issued_at,
        deadline: issued_at,
        resource: user,
        // Somebody who was restored meanwhile is not deleted.
        if_match: Some(IfMatch::Tags(vec![format!("W/\"{version}\"")])),
        // No client waits for it.
        asynchronous: true,
        change,
    };
    let body = serde_json::to_vec(&command).expect("a command is made of strings, numbers and JSON");
    Message::json("", topology::BULK, &ticket.to_string(), "application/json", body)
}

//! Retention. The activity log is kept for 30 days. Resources in verdicts are personal data, and are kept only as long as
//! somebody may ask for them: a day if they can be fetched, else ten minutes.

use database::{Error, Limits, Pool};
use diesel::sql_types::{Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use domain::outcome::REPEATABLE_FOR;
use domain::ticket::Ticket;
use platform::clock::Clock;
use platform::shutdown;
use time::{Duration, OffsetDateTime};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often to clean.
const EVERY: std::time::Duration = std::time::Duration::from_secs(600);
/// How long a verdict is kept.
const VERDICT: Duration = Duration::days(30);
/// How long the resource in a verdict that can be fetched is kept.
const RESOURCE: Duration = Duration::days(1);
/// How long the resource of any other verdict is kept: longer than any client waits.
const RECENT_RESOURCE: Duration = Duration::minutes(10);
/// How long a receipt is kept: as long as the create can be repeated, and another hour, because the clocks of ingest and
/// workers differ.
const RECEIPT: Duration = REPEATABLE_FOR.saturating_add(Duration::HOUR);

/// Takes the advisory lock that lets one worker clean at a time. Nothing else uses this number.
const TRY_LOCK: &str = "select pg_try_advisory_xact_lock(7241990421) as is_ours";

/// Commands before `$1`, a limited number at a time: a large delete would hold its locks for long.
const DELETE: &str = "delete from commands where id in (select id from commands where id < $1 limit 5000)";
/// The resources in outcomes from before `$1` that clients could fetch.
pub const STRIP: &str = "update commands set outcome = jsonb_set(outcome, '{record,resource}', '{}') where id in \
    (select id from commands where delivery = 'delivered' and decided_at < $1 \
     and outcome -> 'record' -> 'resource' <> '{}' limit 5000)";
const DELETE_RESOURCES: &str = "delete from recent_resources where command in \
    (select command from recent_resources where command < $1 limit 5000)";
const DELETE_RECEIPTS: &str =
    "delete from receipts where command in (select command from receipts where command < $1 limit 5000)";
/// Quarantined commands whose message was removed from the queue.
const DELETE_QUARANTINED: &str = "delete from quarantine where ticket < $1";
/// Workers that did not shut down cleanly.
const DELETE_WORKERS: &str = "delete from workers where seen_at < $1";

/// The statements and the age of the rows they clean.
const TASKS: [(&str, Until, Duration); 6] = [
    (DELETE, Until::Ticket, VERDICT),
    (STRIP, Until::Time, RESOURCE),
    (DELETE_RESOURCES, Until::Ticket, RECENT_RESOURCE),
    (DELETE_RECEIPTS, Until::Ticket, RECEIPT),
    (DELETE_QUARANTINED, Until::Ticket, VERDICT),
    (DELETE_WORKERS, Until::Time, Duration::HOUR),
];

/// The type of `$1`.
#[derive(Clone, Copy)]
enum Until {
    Ticket,
    Time,
}

#[derive(QueryableByName)]
struct Lock {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    is_ours: bool,
}

/// Cleans at the start and then periodically, until `stop`. Only one of several workers cleans at a time.
pub async fn run(pool: Pool, clock: Clock, stop: CancellationToken) {
    loop {
        match clean(&pool, clock.now(), &stop).await {
            Ok(0) => {}
            Ok(rows) => info!(rows, "cleaned the activity log"),
            Err(error) => warn!(%error, "failed to clean the activity log"),
        }
        if !shutdown::pause(&stop, EVERY).await {
            return;
        }
    }
}

/// Cleans once and returns the number of rows changed or deleted. Returns early if another worker is cleaning.
///
/// # Errors
/// See [`Error`].
pub async fn clean(pool: &Pool, now: OffsetDateTime, stop: &CancellationToken) -> Result<usize, Error> {
    let mut connection = pool.get().await?;
    let connection: &mut AsyncPgConnection = &mut connection;
    let mut total = 0;
    for (statement, until, age) in TASKS {
        while !stop.is_cancelled() {
            let some = connection
                .transaction(async |c: &mut AsyncPgConnection| some(c, statement, until, now - age).await)
                .await?;
            let Some(rows) = some else { return Ok(total) };
            total += rows;
            if rows == 0 {
                break;
            }
        }
    }
    Ok(total)
}

/// Cleans some rows; `None` if another worker is cleaning.
async fn some(
    connection: &mut AsyncPgConnection,
    statement: &str,
    until: Until,
    before: OffsetDateTime,
) -> Result<Option<usize>, Error> {
    connection.batch_execute(&Limits::PATIENT.of_transaction()).await?;
    let lock: Lock = sql_query(TRY_LOCK).get_result(connection).await?;
    if !lock.is_ours {
        return Ok(None);
    }
    let query = sql_query(statement);
    Ok(Some(match until {
        Until::Ticket => query.bind::<SqlUuid, _>(Ticket::least_at(before).0).execute(connection).await?,
        Until::Time => query.bind::<Timestamptz, _>(before).execute(connection).await?,
    }))
}

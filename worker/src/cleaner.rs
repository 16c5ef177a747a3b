//! Forgetting: the activity log is kept for 30 days, the resources in it only for a day (they are there to repeat an
//! answer, and hold personal data), or as long as a repeated request may still be handed the outcome.

use diesel::sql_types::{Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use shared::clock::Clock;
use shared::outcome::REPEATABLE_FOR;
use shared::postgres::{Error, Pool};
use shared::shutdown;
use shared::ticket::Ticket;
use time::{Duration, OffsetDateTime};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often to clean.
const EVERY: std::time::Duration = std::time::Duration::from_secs(600);
/// How long a verdict is kept.
const VERDICT: Duration = Duration::days(30);
/// How long the resource in a verdict is kept that its client heard.
const RESOURCE: Duration = Duration::days(1);
/// How much longer an outcome is kept that nobody heard: another worker's clock may be behind.
const MARGIN: Duration = Duration::minutes(5);

/// One worker cleans at a time. The number is nobody else's.
const TURN: &str = "select pg_try_advisory_xact_lock(7241990421) as is_ours";

/// Commands before `$1`, some at a time: a large delete would hold its locks for long.
const DELETE: &str = "delete from commands where id in (select id from commands where id < $1 limit 5000)";
/// Outcomes from before `$1` that their clients heard, or can fetch.
pub const STRIP_HEARD: &str = "update commands set outcome = jsonb_set(outcome, '{record,resource}', '{}') where id in \
    (select id from commands where state in ('decided', 'claimed') and decided_at < $1 \
     and outcome->'record'->'resource' <> '{}' limit 5000)";
/// Outcomes from before `$1` that nobody heard, and nobody is handed any more.
pub const STRIP_UNHEARD: &str = "update commands set outcome = jsonb_set(outcome, '{record,resource}', '{}'), state = 'decided' \
    where id in (select id from commands where state = 'unclaimed' and decided_at < $1 \
     and outcome->'record'->'resource' <> '{}' limit 5000 for update skip locked)";
/// Marks of suspects whose message somebody took out of the queue.
const UNMARK: &str = "delete from suspects where ticket < $1";
/// Workers that did not end in order.
const FORGET: &str = "delete from workers where seen_at < $1";

/// What is cleaned, and of which age.
const TASKS: [(&str, Until, Duration); 5] = [
    (DELETE, Until::Ticket, VERDICT),
    (STRIP_HEARD, Until::Time, RESOURCE),
    (STRIP_UNHEARD, Until::Time, REPEATABLE_FOR.saturating_add(MARGIN)),
    (UNMARK, Until::Ticket, VERDICT),
    (FORGET, Until::Time, Duration::HOUR),
];

/// What `$1` is.
#[derive(Clone, Copy)]
enum Until {
    Ticket,
    Time,
}

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    is_ours: bool,
}

/// Cleans at the start and every now and then, until `stop`. Of several workers one does.
pub async fn run(pool: Pool, clock: Clock, stop: CancellationToken) {
    loop {
        match clean(&pool, clock.now(), &stop).await {
            Ok(0) => {}
            Ok(rows) => info!(rows, "cleaned the activity log"),
            Err(error) => warn!(%error, "could not clean the activity log"),
        }
        if !shutdown::pause(&stop, EVERY).await {
            return;
        }
    }
}

/// Cleans once; tells how many rows were changed or deleted. Leaves it to another worker that is at it.
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

/// Some rows; `None` if another worker is at it.
async fn some(
    connection: &mut AsyncPgConnection,
    statement: &str,
    until: Until,
    before: OffsetDateTime,
) -> Result<Option<usize>, Error> {
    let turn: Turn = sql_query(TURN).get_result(connection).await?;
    if !turn.is_ours {
        return Ok(None);
    }
    let query = sql_query(statement);
    Ok(Some(match until {
        Until::Ticket => query.bind::<SqlUuid, _>(Ticket::least_at(before).0).execute(connection).await?,
        Until::Time => query.bind::<Timestamptz, _>(before).execute(connection).await?,
    }))
}

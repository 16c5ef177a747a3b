//! Forgetting: the activity log is kept for 30 days, the resources in it only for a day (they are there to repeat an
//! answer, and hold personal data).

use diesel::sql_types::Uuid as SqlUuid;
use diesel_async::RunQueryDsl;
use shared::clock::Clock;
use shared::postgres::{Error, Pool};
use shared::shutdown;
use shared::ticket::Ticket;
use time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often to clean.
const EVERY: std::time::Duration = std::time::Duration::from_secs(600);
/// How long a verdict is kept.
const VERDICT: Duration = Duration::days(30);
/// How long the resource in a verdict is kept.
const RESOURCE: Duration = Duration::days(1);
/// How far back resources are looked for: by then they have been found, however rarely a worker ran.
const LOOK_BACK: Duration = Duration::days(8);

/// Commands before `$2`, some at a time: a large delete would hold its locks for long.
const DELETE: &str = "delete from commands where id in \
    (select id from commands where id >= $1 and id < $2 limit 5000)";
/// An unclaimed outcome keeps its resource: the client may still ask for it.
const STRIP: &str = "update commands set outcome = jsonb_set(outcome, '{record,resource}', '{}') where id in \
    (select id from commands where id >= $1 and id < $2 and (state in ('decided', 'claimed') or change = 'user.role') \
     and outcome->'record'->'resource' <> '{}' limit 5000)";

/// Marks of suspects whose message somebody took out of the queue.
const UNMARK: &str = "delete from suspects where ticket >= $1 and ticket < $2";
/// Workers that did not end in order.
const FORGET: &str = "delete from workers where seen_at < now() - interval '1 hour'";

/// Cleans until `stop`. Several workers may do so at the same time.
pub async fn run(pool: Pool, clock: Clock, stop: CancellationToken) {
    while shutdown::pause(&stop, EVERY).await {
        let now = clock.now();
        let before = |age| Ticket::least_at(now - age);
        let oldest = Ticket(uuid::Uuid::nil());
        for (statement, from, until) in [
            (DELETE, oldest, before(VERDICT)),
            (STRIP, before(LOOK_BACK), before(RESOURCE)),
            (UNMARK, oldest, before(VERDICT)),
        ] {
            match clean(&pool, statement, from, until, &stop).await {
                Ok(0) => {}
                Ok(rows) => info!(rows, "cleaned the activity log"),
                Err(error) => warn!(%error, "could not clean the activity log"),
            }
        }
        if let Err(error) = forget_workers(&pool).await {
            warn!(%error, "could not forget workers that are gone");
        }
    }
}

async fn forget_workers(pool: &Pool) -> Result<(), Error> {
    pool.bounded(async |connection| Ok(diesel::sql_query(FORGET).execute(connection).await.map(drop)?)).await
}

async fn clean(
    pool: &Pool,
    statement: &'static str,
    from: Ticket,
    until: Ticket,
    stop: &CancellationToken,
) -> Result<usize, Error> {
    let mut connection = pool.get().await?;
    let mut total = 0;
    loop {
        let query = diesel::sql_query(statement).bind::<SqlUuid, _>(from.0).bind::<SqlUuid, _>(until.0);
        let rows = query.execute(&mut connection).await?;
        total += rows;
        if rows == 0 || stop.is_cancelled() {
            return Ok(total);
        }
    }
}

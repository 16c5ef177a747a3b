//! Forgetting: the activity log is kept for 30 days, the resources in it only for a day (they are there to repeat an
//! answer, and hold personal data).

use std::time::Duration;

use diesel_async::RunQueryDsl;
use shared::postgres::{Error, Pool};
use shared::shutdown;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often to clean.
const EVERY: Duration = Duration::from_secs(600);

/// Rows that go at a time: a large delete would hold its locks for long.
const DELETE: &str = "delete from commands where id in \
    (select id from commands where issued_at < now() - interval '30 days' limit 5000)";
/// An unclaimed outcome keeps its resource: the client may still ask for it.
const STRIP: &str = "update commands set outcome = jsonb_set(outcome, '{record,resource}', '{}') where id in \
    (select id from commands where issued_at < now() - interval '1 day' and state = 'decided' \
     and outcome->'record'->'resource' <> '{}' limit 5000)";

/// Cleans until `stop`. Several workers may do so at the same time.
pub async fn run(pool: Pool, stop: CancellationToken) {
    while shutdown::pause(&stop, EVERY).await {
        for statement in [DELETE, STRIP] {
            match clean(&pool, statement, &stop).await {
                Ok(0) => {}
                Ok(rows) => info!(rows, "cleaned the activity log"),
                Err(error) => warn!(%error, "could not clean the activity log"),
            }
        }
    }
}

async fn clean(pool: &Pool, statement: &'static str, stop: &CancellationToken) -> Result<usize, Error> {
    let mut connection = pool.get().await?;
    let mut total = 0;
    loop {
        let rows = diesel::sql_query(statement).execute(&mut connection).await?;
        total += rows;
        if rows == 0 || stop.is_cancelled() {
            return Ok(total);
        }
    }
}

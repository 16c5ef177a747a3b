//! The schema's history, embedded. Runs under a lock: several processes may start together.

use diesel::migration::Migration;
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::limits::Limits;
use super::{Error, Pool};

/// What `migrations/` held when this program was built.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");
/// The advisory lock under which the schema changes: any number that nobody else uses.
const LOCK: &str = "select pg_advisory_lock(7241990417)";
const UNLOCK: &str = "select pg_advisory_unlock(7241990417)";

type Harness = AsyncMigrationHarness<AsyncPgConnection>;
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Applies what is missing; returns the names of the migrations that were applied.
///
/// # Errors
/// When Postgres cannot be reached, or refuses a migration.
pub async fn run(pool: &Pool) -> Result<Vec<String>, Error> {
    locked(pool, |harness| {
        let pending = harness.pending_migrations(MIGRATIONS)?;
        let mut names = Vec::new();
        for migration in &pending {
            harness.run_migration(migration)?;
            names.push(migration.name().to_string());
        }
        Ok(names)
    })
    .await
}

/// Takes the last migration back; returns its version, or `None` if there was none.
///
/// # Errors
/// When Postgres cannot be reached, or refuses.
pub async fn revert(pool: &Pool) -> Result<Option<String>, Error> {
    locked(pool, |harness| {
        if harness.applied_migrations()?.is_empty() {
            return Ok(None);
        }
        Ok(Some(harness.revert_last_migration(MIGRATIONS)?.to_string()))
    })
    .await
}

/// The names of the migrations that are still to be applied.
///
/// # Errors
/// When Postgres cannot be reached.
pub async fn pending(pool: &Pool) -> Result<Vec<String>, Error> {
    locked(pool, |harness| {
        let pending: Vec<Box<dyn Migration<Pg>>> = harness.pending_migrations(MIGRATIONS)?;
        Ok(pending.iter().map(|migration| migration.name().to_string()).collect())
    })
    .await
}

async fn locked<T: Send + 'static>(
    pool: &Pool,
    work: impl FnOnce(&mut Harness) -> Outcome<T> + Send + 'static,
) -> Result<T, Error> {
    // The connection leaves the pool: the harness wants to own it, and the lock dies with it whatever happens.
    let mut connection = diesel_async::pooled_connection::deadpool::Object::take(pool.get().await?);
    connection.batch_execute(&Limits::NONE.of_session()).await?;
    connection.batch_execute(LOCK).await?;
    let mut harness = Harness::new(connection);
    let done = tokio::task::block_in_place(|| work(&mut harness));
    harness.into_inner().batch_execute(UNLOCK).await?;
    done.map_err(|e| Error::Refused(e.to_string()))
}

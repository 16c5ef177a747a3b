//! The embedded schema migrations. They run under a lock, because several processes may start together.

use diesel::QueryableByName;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::limits::Limits;
use super::{Error, Pool, grants};
use platform::health::Health;
use platform::retry::Delays;
use platform::shutdown;

/// The contents of `migrations/` when this program was built.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");
/// The advisory lock for schema changes: a number that nothing else uses.
const LOCK: &str = "select pg_advisory_lock(7241990417)";
const UNLOCK: &str = "select pg_advisory_unlock(7241990417)";

type Harness = AsyncMigrationHarness<AsyncPgConnection>;
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What [`run`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrated {
    /// The names of the migrations that it applied.
    pub applied: Vec<String>,
    /// The roles of services that do not exist, because this user may not create roles.
    pub missing_roles: Vec<&'static str>,
}

/// Applies pending migrations, and brings the privileges of the services' roles up to date.
///
/// # Errors
/// When Postgres cannot be reached or rejects a migration, or the user does not own the schema.
pub async fn run(pool: &Pool) -> Result<Migrated, Error> {
    let migrate = |harness: &mut Harness| -> Outcome<Vec<String>> {
        let pending = harness.pending_migrations(MIGRATIONS)?;
        let mut names = Vec::new();
        for migration in &pending {
            harness.run_migration(migration)?;
            names.push(migration.name().to_string());
        }
        Ok(names)
    };
    let mut connection = lock(pool).await?;
    let done = match with_harness(connection, migrate) {
        (Ok(applied), back) => {
            connection = back;
            grants::apply(&mut connection).await.map(|missing_roles| Migrated { applied, missing_roles })
        }
        (Err(error), back) => {
            connection = back;
            Err(error)
        }
    };
    unlock(connection).await?;
    done
}

/// The same for a service: `None` if its database user does not own the schema, and the schema has not this version or
/// a later one yet.
///
/// # Errors
/// As [`run`].
pub async fn run_if_owner(pool: &Pool) -> Result<Option<Migrated>, Error> {
    if pool.bounded(grants::owns_schema).await? {
        return run(pool).await.map(Some);
    }
    Ok(is_current(pool).await?.then(Migrated::default))
}

/// Reverts the last migration and returns its version; `None` if there was none.
///
/// # Errors
/// When Postgres cannot be reached or rejects it.
pub async fn revert(pool: &Pool) -> Result<Option<String>, Error> {
    locked(pool, |harness| {
        if harness.applied_migrations()?.is_empty() {
            return Ok(None);
        }
        Ok(Some(harness.revert_last_migration(MIGRATIONS)?.to_string()))
    })
    .await
}

/// The names of the pending migrations.
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

/// Sets `schema` in `health` once the schema has this version or a later one, for a service that does not migrate.
pub async fn watch(pool: Pool, health: Health, stop: CancellationToken) {
    let mut delays = Delays::reconnect();
    loop {
        // An empty database lacks even the table. `super::watch` reports that Postgres is unavailable.
        if is_current(&pool).await.unwrap_or(false) {
            health.set("schema", Ok(()));
            return;
        }
        if health.set("schema", Err("not migrated to this version yet")) {
            info!("waiting for a worker or `rollcall migrate` to migrate the schema");
        }
        if !shutdown::pause(&stop, delays.next_delay()).await {
            return;
        }
    }
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Bool)]
    is_applied: bool,
}

/// Whether the last migration of this program has been applied.
async fn is_current(pool: &Pool) -> Result<bool, Error> {
    let Some(last) = last_version()? else { return Ok(true) };
    let query = "select exists (select from __diesel_schema_migrations where version = $1) as is_applied";
    let query = diesel::sql_query(query).bind::<Text, _>(last);
    let known: Known = pool.bounded(async |connection| Ok(query.get_result(connection).await?)).await?;
    Ok(known.is_applied)
}

fn last_version() -> Result<Option<String>, Error> {
    let all: Vec<Box<dyn Migration<Pg>>> =
        MIGRATIONS.migrations().map_err(|e| Error::Refused(e.to_string()))?;
    Ok(all.iter().map(|migration| migration.name().version().to_string()).max())
}

async fn locked<T: Send + 'static>(
    pool: &Pool,
    work: impl FnOnce(&mut Harness) -> Outcome<T> + Send + 'static,
) -> Result<T, Error> {
    let (done, connection) = with_harness(lock(pool).await?, work);
    unlock(connection).await?;
    done
}

/// Taken out of the pool: the harness owns the connection, and the lock is released with it in either case.
async fn lock(pool: &Pool) -> Result<AsyncPgConnection, Error> {
    let mut connection = diesel_async::pooled_connection::deadpool::Object::take(pool.get().await?);
    if !grants::owns_schema(&mut connection).await? {
        return Err(Error::Unfit(
            "this database user does not own the schema: migrate as its owner".to_owned(),
        ));
    }
    connection.batch_execute(&Limits::NONE.of_session()).await?;
    connection.batch_execute(LOCK).await?;
    Ok(connection)
}

async fn unlock(mut connection: AsyncPgConnection) -> Result<(), Error> {
    Ok(connection.batch_execute(UNLOCK).await?)
}

fn with_harness<T>(
    connection: AsyncPgConnection,
    work: impl FnOnce(&mut Harness) -> Outcome<T>,
) -> (Result<T, Error>, AsyncPgConnection) {
    let mut harness = Harness::new(connection);
    let done = tokio::task::block_in_place(|| work(&mut harness));
    (done.map_err(|e| Error::Refused(e.to_string())), harness.into_inner())
}

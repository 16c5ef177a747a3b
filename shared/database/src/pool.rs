//! The connection pool: limited in size and in every wait, with TLS if the URL requests it.

use std::time::Duration;

use diesel_async::pooled_connection::deadpool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, TransactionManager};
use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Error;
use super::connect::{Connector, WAIT};
use super::limits::Limits;
use platform::health::{AWAY, Health};

/// How long an abandoned statement may take to end without being cancelled.
const MOMENT: Duration = Duration::from_millis(200);
/// How often [`watch`] pings Postgres.
const WATCH: Duration = Duration::from_secs(1);

/// A connection from the pool.
pub type Connection = deadpool::Object<AsyncPgConnection>;

/// Connections to one database. Clones share them.
#[derive(Clone)]
pub struct Pool {
    connections: deadpool::Pool<AsyncPgConnection>,
    connector: Connector,
}

impl Pool {
    /// A pool of at most `size` connections with the limits of a service. Connections are opened when they are needed.
    ///
    /// # Errors
    /// When the URL is not a valid PostgreSQL URL, or no TLS root certificate can be read.
    pub fn new(url: &str, size: usize) -> Result<Self, String> {
        Self::with(url, size, Limits::SERVICE)
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As [`Pool::new`].
    pub fn with(url: &str, size: usize, limits: Limits) -> Result<Self, String> {
        Ok(Self::of(Connector::new(url, limits)?, size))
    }

    /// Another pool for the same database, of at most `size` connections of its own and with other limits: for work
    /// that must not wait for the work of this pool.
    #[must_use]
    pub fn beside(&self, size: usize, limits: Limits) -> Self {
        Self::of(self.connector.with(limits), size)
    }

    fn of(connector: Connector, size: usize) -> Self {
        let mut manager = ManagerConfig::default();
        manager.recycling_method = RecyclingMethod::Fast;
        let own = connector.clone();
        manager.custom_setup = Box::new(move |_| {
            let connector = own.clone();
            async move { connector.connect().await }.boxed()
        });
        let manager =
            AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config(String::new(), manager);
        let connections = deadpool::Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .runtime(::deadpool::Runtime::Tokio1)
            .build()
            .expect("a runtime is given, which is all that the time limits need");
        Self { connections, connector }
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// A connection, within five seconds.
    ///
    /// # Errors
    /// [`Error::Unavailable`], and [`Error::Busy`] if all connections are in use.
    pub async fn get(&self) -> Result<Connection, Error> {
        Ok(self.connections.get().await?)
    }

    /// Runs work that should be short: as [`Pool::within`], with a limit of ten seconds.
    ///
    /// # Errors
    /// Those of `work`, [`Error::Unavailable`] and [`Error::Busy`].
    pub async fn bounded<T>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.within(Limits::SERVICE.statement, work).await
    }

    /// Runs work within a time limit. If the limit passes or the caller is cancelled, the work is abandoned: its
    /// statement is cancelled in the server, and its connection is closed, because the state of its transaction is
    /// unknown.
    ///
    /// # Errors
    /// Those of `work`, [`Error::Unavailable`] and [`Error::Busy`].
    pub async fn within<T, E: From<Error>>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = Lent { connection: Some(self.get().await?), connector: &self.connector };
        let Some(connection) = &mut lent.connection else { return Err(closed().into()) };
        match timeout(limit, work(connection)).await {
            Ok(result) => {
                // Returns the connection to the pool.
                drop(lent.connection.take());
                result
            }
            Err(_) => Err(Error::Busy("the work exceeded its time limit").into()),
        }
    }

    /// Whether Postgres answers.
    ///
    /// # Errors
    /// The reason if it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.bounded(async |c| Ok(diesel::sql_query("select 1").execute(c).await.map(drop)?)).await
    }
}

fn closed() -> Error {
    Error::Unavailable("the pool is closed".to_owned())
}

/// A connection that is in use, unless it was taken out.
struct Lent<'a> {
    connection: Option<Connection>,
    connector: &'a Connector,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // Without a runtime the program is ending, which closes its sockets.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(give_up(connection, self.connector.clone()));
        }
    }
}

/// Cancels what still runs on a connection, and closes it. If no transaction is open and the statement ends within a
/// moment, as most do whose client has hung up, the connection returns to the pool.
async fn give_up(mut connection: Connection, connector: Connector) {
    let is_open = AnsiTransactionManager::is_broken_transaction_manager(&mut *connection);
    if !is_open {
        let ended = diesel::sql_query("select 1").execute(&mut connection);
        if matches!(timeout(MOMENT, ended).await, Ok(Ok(_))) {
            return;
        }
    }
    let connection = deadpool::Object::take(connection);
    match timeout(WAIT, connector.cancel(&connection.cancel_token())).await {
        Ok(Ok(())) => debug!("cancelled an abandoned statement"),
        // The statement's own timeout ends it.
        Ok(Err(reason)) => debug!(reason, "failed to cancel an abandoned statement"),
        Err(_) => debug!("failed to cancel an abandoned statement in time"),
    }
    // Only now: the server may reuse the process id of a session that has ended.
    drop(connection);
}

/// Records in `health` whether Postgres answers, until `stop`.
pub async fn watch(pool: Pool, health: Health, stop: CancellationToken) {
    loop {
        let state = tokio::time::timeout(3 * WATCH, pool.ping()).await;
        let state = state.unwrap_or_else(|_| Err(Error::Unavailable("it does not answer".to_owned())));
        if health.set("postgres", state.as_ref().map(|_| ()).map_err(|_| AWAY)) {
            match state {
                Ok(()) => info!("Postgres is available"),
                Err(error) => warn!(reason = %error, "Postgres is unavailable"),
            }
        }
        if !platform::shutdown::pause(&stop, WATCH).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_is_rejected_without_repeating_it() {
        let error = Pool::new("postgres://me:secret@host:notaport/x", 2).err().unwrap();
        assert!(!error.contains("secret"), "{error}");
    }
}

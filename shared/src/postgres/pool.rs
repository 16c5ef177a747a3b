//! The pool of connections: bounded in number and in every wait, with TLS where the URL asks for it.

use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::pooled_connection::deadpool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_postgres::config::SslMode;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Error;
use crate::health::{AWAY, Health};

/// How long to wait for a connection, free or new.
const WAIT: Duration = Duration::from_secs(5);
/// How long work that should be short may take before it counts as an outage.
const BOUND: Duration = Duration::from_secs(10);
/// How often [`watch`] looks.
const WATCH: Duration = Duration::from_secs(1);

/// A process that is paused in the middle of a transaction must not hold its locks for longer than this. Compiling a query takes longer
/// than any of ours should, and a report may not take more than one core from those who wait for an answer.
const SESSION: &str =
    "set idle_in_transaction_session_timeout = '15s'; set jit = off; set max_parallel_workers_per_gather = 0";

/// A connection out of the pool.
pub type Connection = deadpool::Object<AsyncPgConnection>;

/// Connections to one database. Clones share them.
#[derive(Clone)]
pub struct Pool(deadpool::Pool<AsyncPgConnection>);

impl Pool {
    /// A pool of at most `size` connections; none is opened before it is needed.
    ///
    /// # Errors
    /// When the URL is none that Postgres' drivers understand, or no TLS root certificate can be read.
    pub fn new(url: &str, size: usize) -> Result<Self, String> {
        let (config, tls) = settings(url)?;
        let mut manager = ManagerConfig::default();
        manager.recycling_method = RecyclingMethod::Fast;
        manager.custom_setup = Box::new(move |_| establish(config.clone(), tls.clone()));
        let manager =
            AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config(String::new(), manager);
        let pool = deadpool::Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .runtime(::deadpool::Runtime::Tokio1)
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Self(pool))
    }

    /// A connection, within five seconds.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn get(&self) -> Result<Connection, Error> {
        Ok(self.0.get().await?)
    }

    /// Runs work that should be short. If it hangs for ten seconds it is given up: its connection is closed, not returned.
    ///
    /// # Errors
    /// Those of `work`, and [`Error::Unavailable`].
    pub async fn bounded<T>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut connection = self.get().await?;
        match tokio::time::timeout(BOUND, work(&mut connection)).await {
            Ok(result) => result,
            Err(_) => {
                drop(deadpool::Object::take(connection));
                Err(Error::Unavailable("it did not answer in time".to_owned()))
            }
        }
    }

    /// Whether Postgres answers.
    ///
    /// # Errors
    /// Says why not.
    pub async fn ping(&self) -> Result<(), Error> {
        self.bounded(async |c| Ok(diesel::sql_query("select 1").execute(c).await.map(drop)?)).await
    }
}

/// Keeps `health` true to whether Postgres answers, until `stop`.
pub async fn watch(pool: Pool, health: Health, stop: CancellationToken) {
    loop {
        let state = tokio::time::timeout(3 * WATCH, pool.ping()).await;
        let state = state.unwrap_or_else(|_| Err(Error::Unavailable("it does not answer".to_owned())));
        if health.set("postgres", state.as_ref().map(|_| ()).map_err(|_| AWAY)) {
            match state {
                Ok(()) => info!("Postgres is there"),
                Err(error) => warn!(reason = %error, "Postgres is away"),
            }
        }
        if !crate::shutdown::pause(&stop, WATCH).await {
            return;
        }
    }
}

type Tls = Option<tokio_postgres_rustls::MakeRustlsConnect>;

fn settings(url: &str) -> Result<(tokio_postgres::Config, Tls), String> {
    // `verify-full` is libpq's word for what we do whenever TLS is asked for.
    let url =
        url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require");
    // The parser's own words may repeat the password.
    let mut config: tokio_postgres::Config =
        url.parse().map_err(|_| "is no URL of a PostgreSQL database".to_owned())?;
    config
        .connect_timeout(WAIT)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(30));
    if config.get_application_name().is_none() {
        config.application_name("rollcall");
    }
    if config.get_ssl_mode() != SslMode::Require {
        config.ssl_mode(SslMode::Disable);
        return Ok((config, None));
    }
    let tls = crate::tls::client()?;
    Ok((config, Some(tokio_postgres_rustls::MakeRustlsConnect::new(tls))))
}

fn establish(
    config: tokio_postgres::Config,
    tls: Tls,
) -> BoxFuture<'static, Result<AsyncPgConnection, ConnectionError>> {
    let bad = |e: tokio_postgres::Error| {
        let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
        ConnectionError::BadConnection(cause)
    };
    async move {
        let mut connection = match tls {
            None => {
                let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await?
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await?
            }
        };
        connection.batch_execute(SESSION).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_refused_without_being_repeated() {
        let error = Pool::new("postgres://me:secret@host:notaport/x", 2).err().unwrap();
        assert!(!error.contains("secret"), "{error}");
    }
}

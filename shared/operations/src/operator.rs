//! What the verbs need to run: the database, the broker, the clock and the secret key.

use std::time::Duration;

use amqp::{Link, connect_once};
use database::tenants::{self, Tenant};
use database::{Pool, schema, users};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use platform::clock::Clock;
use platform::secret::SecretKey;
use uuid::Uuid;

use crate::Error;

/// What the verbs need to run.
#[derive(Clone)]
pub struct Operator {
    /// The database.
    pub pool: Pool,
    /// The clock.
    pub clock: Clock,
    /// How long to wait for an outcome.
    pub deadline: Duration,
    /// The key that encrypts tokens.
    pub secret_key: Option<SecretKey>,
    /// The URL of the broker. Most verbs do not need it.
    pub amqp_url: Option<String>,
    /// The name under which the program connects to the broker.
    pub connection_name: &'static str,
    /// The maximum length of the command queues.
    pub queue_limit: u32,
}

impl Operator {
    /// Connects to the broker.
    ///
    /// # Errors
    /// [`Error::Invalid`] without a URL, [`Error::Amqp`] if the broker cannot be reached.
    pub async fn link(&self) -> Result<Link, Error> {
        let url = self.amqp_url.as_ref().ok_or_else(|| Error::Invalid("AMQP_URL is not set".to_owned()))?;
        Ok(connect_once(url, self.connection_name, self.queue_limit).await?)
    }

    /// The tenant of this name.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such tenant.
    pub async fn tenant(&self, name: &str) -> Result<Tenant, Error> {
        let connection = self.pool.get().await?;
        tenants::by_name(&connection, name)
            .await?
            .ok_or_else(|| Error::Refused(format!("no tenant is named {name}; see `rollcall tenant list`")))
    }

    /// The id of a tenant's user, by userName or id.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no user of this name.
    pub async fn user_id(&self, tenant: &Tenant, user: &str) -> Result<Uuid, Error> {
        let mut connection = self.pool.get().await?;
        let id = users::id_of(&mut connection, tenant.id, user).await?;
        id.ok_or_else(|| Error::Refused(format!("{} has no such user", tenant.name)))
    }

    /// The tenant of this name; without a name, the only tenant.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no tenant, [`Error::Invalid`] if there are several.
    pub async fn tenant_or_only(&self, name: Option<&str>) -> Result<Tenant, Error> {
        if let Some(name) = name {
            return self.tenant(name).await;
        }
        let mut connection = self.pool.get().await?;
        let names: Vec<String> =
            schema::tenants::table.select(schema::tenants::name).limit(2).load(&mut connection).await?;
        drop(connection);
        match names.as_slice() {
            [name] => self.tenant(name).await,
            [] => Err(Error::Refused(
                "there is no tenant yet; add one with `rollcall tenant add NAME`".to_owned(),
            )),
            _ => Err(Error::Invalid(
                "there are several tenants; name one (see --help and `rollcall tenant list`)".to_owned(),
            )),
        }
    }
}

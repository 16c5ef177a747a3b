//! Adds, lists, shows and removes tenants, and changes their settings.

mod remove;
mod settings;

use database::Connection;
use database::schema::{tenants, users};
use database::tenants::Tenant;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use diesel_async::{AsyncConnection, RunQueryDsl};
use domain::settings::{LIMITS, LimitRow};
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::remove::{Removed, remove};
use crate::{Error, Operator, moments};

/// A tenant that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Added {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// A tenant in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// When it was added.
    #[serde(with = "moments")]
    pub created_at: OffsetDateTime,
    /// How many of its users are not archived.
    pub active_users: i64,
}

/// A limit of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownLimit {
    /// The setting's name.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// The value of a tenant without its own.
    pub default: u32,
    /// Whether the value was set for this tenant.
    pub is_set: bool,
    /// What it limits, with the unit.
    pub what: &'static str,
}

/// A tenant with its settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TenantDetails {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// All settings with their values, including defaults.
    pub settings: Map<String, Value>,
    /// Its limits, which are settings too.
    pub limits: Vec<ShownLimit>,
}

/// Adds a tenant.
///
/// # Errors
/// [`Error::Invalid`] if the name is not a subdomain, [`Error::Refused`] if it is taken.
pub async fn add(operator: &Operator, name: &str) -> Result<Added, Error> {
    if !is_subdomain(name) {
        return Err(Error::Invalid(
            "the tenant's name must be a valid subdomain: lower-case letters, digits and inner hyphens, at most 63 characters"
                .to_owned(),
        ));
    }
    let (id, mut connection) = (platform::id::new(), operator.pool.get().await?);
    let row = (tenants::id.eq(id), tenants::name.eq(name), tenants::created_at.eq(operator.clock.now()));
    match diesel::insert_into(tenants::table).values(row).execute(&mut connection).await {
        Err(Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
            Err(Error::Refused(format!("a tenant named {name} already exists")))
        }
        done => done.map(|_| Added { id, name: name.to_owned() }).map_err(Error::from),
    }
}

fn is_subdomain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain)
}

/// Lists the tenants by name.
///
/// # Errors
/// Those of the database.
pub async fn list(operator: &Operator) -> Result<Vec<Listed>, Error> {
    let mut connection = operator.pool.get().await?;
    let all: Vec<(Uuid, String, OffsetDateTime)> = tenants::table
        .order(tenants::name)
        .select((tenants::id, tenants::name, tenants::created_at))
        .load(&mut connection)
        .await?;
    let active = users::archived_at.is_null();
    let counts: Vec<(Uuid, i64)> = users::table
        .filter(active)
        .group_by(users::tenant_id)
        .select((users::tenant_id, diesel::dsl::count_star()))
        .load(&mut connection)
        .await?;
    let people = |id: Uuid| counts.iter().find(|(tenant, _)| *tenant == id).map_or(0, |(_, count)| *count);
    let listed = |(id, name, created_at)| Listed { id, name, created_at, active_users: people(id) };
    Ok(all.into_iter().map(listed).collect())
}

/// Shows a tenant with its settings.
#[must_use]
pub fn show(tenant: &Tenant) -> TenantDetails {
    let settings = settings::shown(&tenant.settings);
    let limit = |row: &LimitRow| {
        let value = settings.get(row.key).and_then(Value::as_u64).unwrap_or(row.default.into());
        let is_set = value != u64::from(row.default);
        ShownLimit { name: row.key, value, default: row.default, is_set, what: row.what }
    };
    let limits = LIMITS.iter().map(limit).collect();
    TenantDetails { id: tenant.id, name: tenant.name.clone(), settings, limits }
}

/// Changes settings, each given as `KEY=VALUE`. They are in force within two seconds.
///
/// # Errors
/// [`Error::Invalid`] if a setting is unknown or its value invalid.
pub async fn set(operator: &Operator, tenant: &Tenant, changes: &[String]) -> Result<TenantDetails, Error> {
    let mut connection = operator.pool.get().await?;
    let work = async |connection: &mut Connection| {
        let own = tenants::table.find(tenant.id);
        // The lock keeps concurrent changes of different settings from overwriting each other.
        let stored: Value = own.select(tenants::settings).for_no_key_update().first(connection).await?;
        let changed = settings::changed(stored, changes)?;
        diesel::update(own).set(tenants::settings.eq(changed)).execute(connection).await?;
        Ok::<(), Error>(())
    };
    connection.transaction(work).await?;
    drop(connection);
    Ok(show(&operator.tenant(&tenant.name).await?))
}

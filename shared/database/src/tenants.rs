//! Reads tenants, with their settings and registered schemas.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::schema::tenants;
use super::{Error, schemas};
use domain::settings::Settings;
use scim::Types;

/// The maximum age of tenant data in ingest at the start of a request, as long as Postgres answers. Code that changes
/// this data waits that long before it reports the change as in force.
pub const MAX_AGE: Duration = Duration::from_secs(2);

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its id.
    pub id: Uuid,
    /// Its name: its subdomain.
    pub name: String,
    /// Its settings.
    pub settings: Settings,
    /// The resource types, with its registered extensions.
    pub types: Arc<Types>,
}

type Columns = (Uuid, String, Value);
const COLUMNS: (tenants::id, tenants::name, tenants::settings) =
    (tenants::id, tenants::name, tenants::settings);

/// The tenant with this name (case-insensitive).
///
/// # Errors
/// See [`Error`].
pub async fn by_name(connection: &AsyncPgConnection, name: &str) -> Result<Option<Tenant>, Error> {
    let name = name.to_ascii_lowercase();
    let query = tenants::table.filter(tenants::name.eq(&name)).select(COLUMNS);
    // Both are awaited, so that neither is left half-read if the other fails.
    let (row, schemas) =
        futures_util::join!(query.first(&mut { connection }), schemas::by_tenant_name(connection, &name),);
    let (row, mut schemas) = (row.optional()?, schemas?);
    Ok(row.map(|row| tenant(row, &mut schemas)))
}

/// Those of these tenants that exist.
///
/// # Errors
/// See [`Error`].
pub async fn by_ids(connection: &AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<Tenant>, Error> {
    let query = tenants::table.filter(tenants::id.eq_any(ids)).select(COLUMNS);
    let (rows, schemas) =
        futures_util::join!(query.load(&mut { connection }), schemas::by_tenants(connection, ids),);
    let (rows, mut schemas): (Vec<Columns>, _) = (rows?, schemas?);
    Ok(rows.into_iter().map(|row| tenant(row, &mut schemas)).collect())
}

fn tenant((id, name, settings): Columns, schemas: &mut HashMap<Uuid, Vec<(String, Value)>>) -> Tenant {
    let settings = Settings::stored(id, &settings);
    let types = schemas::types(id, &schemas.remove(&id).unwrap_or_default());
    Tenant { id, name, settings, types }
}

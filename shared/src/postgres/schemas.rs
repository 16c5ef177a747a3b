//! Reading the schemas that tenants registered, and the resource types that they make.
//!
//! Before it: `rollcall schema add`, which keeps only what makes sense. After it: `tenants`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use super::Error;
use super::schema::{schemas, tenants};
use crate::scim::schema::Schema;
use crate::scim::{self, Types};

/// A schema as it was registered: the resource type's name and the definition.
type Registered = (String, Value);
type Columns = (Uuid, String, Value);
const COLUMNS: (schemas::tenant_id, schemas::resource_type, schemas::definition) =
    (schemas::tenant_id, schemas::resource_type, schemas::definition);

/// The schemas of these tenants, by tenant, each list in the order in which they were registered.
pub(super) async fn by_tenants(
    mut connection: &AsyncPgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Registered>>, Error> {
    let query = schemas::table.filter(schemas::tenant_id.eq_any(ids)).filter(schemas::removed_at.is_null());
    let query = query.select(COLUMNS);
    Ok(grouped(query.order((schemas::created_at, schemas::id)).load(&mut connection).await?))
}

/// The schemas of the tenant of this name.
pub(super) async fn by_tenant_name(
    mut connection: &AsyncPgConnection,
    name: &str,
) -> Result<HashMap<Uuid, Vec<Registered>>, Error> {
    let query = schemas::table.inner_join(tenants::table.on(tenants::id.eq(schemas::tenant_id)));
    let query = query.filter(tenants::name.eq(name)).filter(schemas::removed_at.is_null()).select(COLUMNS);
    Ok(grouped(query.order((schemas::created_at, schemas::id)).load(&mut connection).await?))
}

fn grouped(rows: Vec<Columns>) -> HashMap<Uuid, Vec<Registered>> {
    let mut grouped: HashMap<Uuid, Vec<Registered>> = HashMap::new();
    for (tenant, resource_type, definition) in rows {
        grouped.entry(tenant).or_default().push((resource_type, definition));
    }
    grouped
}

/// The resource types with these extensions. Tenants without any share one copy.
///
/// # Errors
/// [`Error::Refused`] if a stored definition is none.
pub(super) fn types(registered: &[Registered]) -> Result<Arc<Types>, Error> {
    static PLAIN: LazyLock<Arc<Types>> = LazyLock::new(Arc::default);
    if registered.is_empty() {
        return Ok(Arc::clone(&PLAIN));
    }
    let schemas = registered
        .iter()
        .map(|(resource_type, definition)| Ok((resource_type, Schema::parse(definition)?)))
        .collect::<Result<Vec<_>, scim::Error>>();
    let types = schemas.and_then(Types::with);
    types.map(Arc::new).map_err(|_| Error::Refused("a registered schema is none that makes sense".to_owned()))
}

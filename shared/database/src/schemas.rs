//! Reads the schemas that tenants registered, and builds their resource types.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use tracing::warn;
use uuid::Uuid;

use super::Error;
use super::schema::{schemas, tenants};
use scim::schema::Schema;
use scim::{self, Types};

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

/// The resource types with these extensions. Tenants without extensions share one copy. An extension that this version
/// cannot read (one of a later version, for example) is ignored as if it was removed: its values are kept.
pub(super) fn types(tenant: Uuid, registered: &[Registered]) -> Arc<Types> {
    static PLAIN: LazyLock<Arc<Types>> = LazyLock::new(Arc::default);
    if registered.is_empty() {
        return Arc::clone(&PLAIN);
    }
    let all = registered.iter().map(|(kind, definition)| Ok((kind, Schema::parse(definition)?)));
    let types = all.collect::<Result<Vec<_>, scim::Error>>().and_then(Types::with);
    Arc::new(types.unwrap_or_else(|_| readable(tenant, registered)))
}

/// The resource types with the readable extensions.
fn readable(tenant: Uuid, registered: &[Registered]) -> Types {
    let (mut readable, mut types) = (Vec::new(), Types::default());
    for (resource_type, definition) in registered {
        let with = Schema::parse(definition).and_then(|schema| {
            let mut more = readable.clone();
            more.push((resource_type, schema));
            Types::with(more.clone()).map(|types| (more, types))
        });
        match with {
            Ok(with) => (readable, types) = with,
            Err(_) => warn_once(tenant, definition),
        }
    }
    types
}

/// Logs, once, that a registered schema cannot be read.
fn warn_once(tenant: Uuid, definition: &Value) {
    static WARNED: LazyLock<Mutex<HashSet<(Uuid, String)>>> = LazyLock::new(Mutex::default);
    let key = (tenant, definition.to_string());
    if WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
        let urn = definition.get("id").and_then(Value::as_str).unwrap_or("without a URN");
        warn!(tenant.id = %tenant, schema = urn, "ignored a registered schema that cannot be read");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_cannot_be_read_is_ignored_and_the_others_apply() {
        let schema = |urn: &str, kind: &str| {
            let attribute = json!({ "name": "badge", "type": kind });
            ("User".to_owned(), json!({ "id": urn, "name": "X", "attributes": [attribute] }))
        };
        let registered = [
            schema("urn:example:one:User", "string"),
            schema("urn:example:two:User", "of_a_later_version"),
            ("User".to_owned(), json!(["no schema"])),
            ("Device".to_owned(), schema("urn:example:three:Device", "string").1),
            schema("urn:example:four:User", "string"),
        ];
        let types = types(Uuid::nil(), &registered);
        let own: Vec<&str> = types.user.schemas().map(|schema| &*schema.id).collect();
        assert!(own.contains(&"urn:example:one:User") && own.contains(&"urn:example:four:User"), "{own:?}");
        assert!(own.iter().all(|urn| !urn.contains("two") && !urn.contains("three")), "{own:?}");
        assert_eq!(*super::types(Uuid::nil(), &registered[1..2]), Types::default());
    }
}

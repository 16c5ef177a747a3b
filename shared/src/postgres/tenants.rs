//! Reading tenants.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Error;
use super::schema::tenants;

/// A company.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = tenants, check_for_backend(diesel::pg::Pg))]
pub struct Tenant {
    /// Its id.
    pub id: Uuid,
    /// Its subdomain.
    pub name: String,
}

/// The tenant of this name, written in whatever case.
///
/// # Errors
/// See [`Error`].
pub async fn by_name(connection: &mut AsyncPgConnection, name: &str) -> Result<Option<Tenant>, Error> {
    let query =
        tenants::table.filter(tenants::name.eq(name.to_ascii_lowercase())).select(Tenant::as_select());
    Ok(query.first(connection).await.optional()?)
}

/// Those of these tenants that there are.
///
/// # Errors
/// See [`Error`].
pub async fn by_ids(mut connection: &AsyncPgConnection, ids: &[Uuid]) -> Result<Vec<Tenant>, Error> {
    let query = tenants::table.filter(tenants::id.eq_any(ids)).select(Tenant::as_select());
    Ok(query.load(&mut connection).await?)
}

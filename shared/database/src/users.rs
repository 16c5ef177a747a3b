//! The row of a user, and reading it.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::Value;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::Error;
use super::record::{Columns, record};
use super::schema::users;
use scim::{Record, user_name_key};

/// A row of `users`, without `search`, which is derived from `resource`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Serialize)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
#[expect(missing_docs, reason = "the columns are described in the database")]
pub struct UserRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub user_name: String,
    pub user_name_key: String,
    pub external_id: Option<String>,
    pub role: String,
    pub origin: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub archived_at: Option<OffsetDateTime>,
    #[serde(with = "domain::pull::date")]
    pub hire_date: Option<Date>,
    pub region: Option<String>,
    pub custom_fields: Option<Value>,
    pub pull_ticket: Option<Uuid>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub linked_at: Option<OffsetDateTime>,
    pub resource: Value,
    pub version: i64,
    pub ticket: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub modified_at: OffsetDateTime,
}

const COLUMNS: (users::id, users::resource, users::created_at, users::modified_at, users::version) =
    (users::id, users::resource, users::created_at, users::modified_at, users::version);

impl UserRow {
    /// The name of the user as a group's member: displayName, else userName.
    #[must_use]
    pub fn display(&self) -> &str {
        self.resource.get("displayName").and_then(Value::as_str).unwrap_or(&self.user_name)
    }

    /// The SCIM resource in the row.
    ///
    /// # Errors
    /// [`Error::Refused`] if the stored value is not a resource.
    pub fn record(&self) -> Result<Record, Error> {
        record((self.id, self.resource.clone(), self.created_at, self.modified_at, self.version))
    }
}

/// A tenant's user.
///
/// # Errors
/// See [`Error`].
pub async fn find(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Record>, Error> {
    let query = users::table.filter(users::tenant_id.eq(tenant)).filter(users::id.eq(id)).select(COLUMNS);
    query.first::<Columns>(connection).await.optional()?.map(record).transpose()
}

/// The id of the tenant's user with this userName (case-insensitive). An id is returned as it is, because the log also
/// contains deleted users.
///
/// # Errors
/// See [`Error`].
pub async fn id_of(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    user: &str,
) -> Result<Option<Uuid>, Error> {
    if let Some(id) = scim::parse_id(user) {
        return Ok(Some(id));
    }
    let named = users::user_name_key.eq(user_name_key(user));
    let query = users::table.filter(users::tenant_id.eq(tenant)).filter(named).select(users::id);
    Ok(query.first(connection).await.optional()?)
}

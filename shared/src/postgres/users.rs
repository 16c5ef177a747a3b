//! The row of a user, and reading it.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::schema::users;
use crate::scim::{Record, Resource, user_name_key};

/// A row of `users`.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable, Serialize)]
#[diesel(table_name = users, check_for_backend(diesel::pg::Pg))]
#[expect(missing_docs, reason = "the columns are described in the database")]
pub struct UserRow {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub user_name: String,
    pub user_name_key: String,
    pub external_id: Option<String>,
    pub given_name: String,
    pub family_name: String,
    pub display_name: Option<String>,
    pub email: String,
    pub location: Option<String>,
    pub business_unit: Option<String>,
    pub department: Option<String>,
    pub job_title: Option<String>,
    pub manager_name: Option<String>,
    pub employee_number: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    pub role: String,
    pub origin: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub archived_at: Option<OffsetDateTime>,
    pub resource: Value,
    pub version: i64,
    pub ticket: Uuid,
    pub created_ticket: Uuid,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub modified_at: OffsetDateTime,
}

/// How a SCIM client may look a user up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Everybody.
    All,
    /// By id.
    Id(Uuid),
    /// By userName, without regard to case.
    UserName(String),
    /// By externalId, exactly.
    ExternalId(String),
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The page.
    pub records: Vec<Record>,
    /// How many there are in all.
    pub total: i64,
}

type Columns = (Uuid, Value, OffsetDateTime, OffsetDateTime, i64);
const COLUMNS: (users::id, users::resource, users::created_at, users::modified_at, users::version) =
    (users::id, users::resource, users::created_at, users::modified_at, users::version);

fn record((id, resource, created, last_modified, version): Columns) -> Result<Record, Error> {
    Ok(Record { id, resource: resource_of(resource)?, created, last_modified, version })
}

fn resource_of(stored: Value) -> Result<Resource, Error> {
    serde_json::from_value(stored)
        .map_err(|_| Error::Refused("a stored resource has another shape than expected".to_owned()))
}

impl UserRow {
    /// The SCIM resource in the row.
    ///
    /// # Errors
    /// [`Error::Refused`] if something else was stored there.
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

/// A tenant's users in the order of their ids: `count` from the `offset`-th (from 0).
///
/// # Errors
/// See [`Error`].
pub async fn list(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    lookup: &Lookup,
    offset: i64,
    count: i64,
) -> Result<Page, Error> {
    let matching = || {
        let all = users::table.filter(users::tenant_id.eq(tenant)).into_boxed::<diesel::pg::Pg>();
        match lookup {
            Lookup::All => all,
            Lookup::Id(id) => all.filter(users::id.eq(*id)),
            Lookup::UserName(name) => all.filter(users::user_name_key.eq(user_name_key(name))),
            Lookup::ExternalId(id) => all.filter(users::external_id.eq(id.clone())),
        }
    };
    let rows: Vec<Columns> = if count == 0 {
        Vec::new()
    } else {
        matching().order(users::id).offset(offset).limit(count).select(COLUMNS).load(connection).await?
    };
    // A page that is not full, and not past the end, tells the total by itself.
    let seen = i64::try_from(rows.len()).expect("a page fits in i64");
    let total = if seen < count && (seen > 0 || offset == 0) {
        offset + seen
    } else {
        matching().count().get_result(connection).await?
    };
    let records = rows.into_iter().map(record).collect::<Result<_, _>>()?;
    Ok(Page { records, total })
}

//! The activity log: who asked for what, when, and what came of it. Read from `commands`, which is kept 30 days.
//!
//! It names resources by their ids and says why something was refused; of people it says no more.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::reports::{PAGE, Paged, Row, object};
use super::schema::commands;
use super::{Error, users};
use crate::command::name_digest;
use crate::report::Column;
use crate::ticket::Ticket;

const COLUMNS: &[Column] = &[
    ("at", "to_char(c.issued_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"),
    (
        "actor",
        "case when k.prefix is not null then 'key ' || k.prefix \
         when c.actor ~ '^[0-9a-f]{8}-' then 'key ' || c.actor else c.actor end",
    ),
    ("change", "c.change"),
    ("attributes", "array_to_string(c.attributes, ' ')"),
    ("resource", "c.resource_id"),
    (
        "outcome",
        "case when c.status is null then 'pending' when c.status = 201 then 'created' when c.status = 200 then 'updated' \
         when c.status = 204 then 'deleted' when c.outcome ->> 'verdict' = 'stale' then 'overtaken' else 'rejected' end",
    ),
    ("status", "c.status"),
    ("reason", "c.outcome -> 'error' ->> 'detail'"),
    ("ignored", "array_to_string(c.ignored, ' ')"),
    ("request", "c.request_id"),
    ("command", "c.id"),
];

/// The most resources that are taken for one name.
const RESOURCES: i64 = 1000;

/// What of a tenant's log.
#[derive(Debug, Clone)]
pub struct ActivityOf {
    /// Whose.
    pub tenant: Uuid,
    /// About these resources alone: see [`about`].
    pub resources: Option<Vec<Uuid>>,
    /// From then on.
    pub since: OffsetDateTime,
}

impl Paged for ActivityOf {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    /// The oldest first.
    async fn page(&self, connection: &mut AsyncPgConnection, after: Option<&str>) -> Result<Vec<Row>, Error> {
        let later = if after.is_some() { "c.id > $3::uuid" } else { "$3::text is null" };
        // A statement each, so that an index leads to the place where it goes on.
        let about = if self.resources.is_some() { "c.resource_id = any($4)" } else { "$4::uuid[] is null" };
        let statement = format!(
            "select {}, c.id::text as key from commands c \
             left join api_keys k on k.tenant_id = c.tenant_id and k.id::text = c.actor \
             where c.tenant_id = $1 and c.id >= $2 and {later} and {about} \
             order by c.id limit $5",
            object(COLUMNS)
        );
        let query = diesel::sql_query(statement)
            .bind::<SqlUuid, _>(self.tenant)
            .bind::<SqlUuid, _>(Ticket::least_at(self.since).0)
            .bind::<Nullable<Text>, _>(after)
            .bind::<Nullable<Array<SqlUuid>>, _>(self.resources.as_deref())
            .bind::<BigInt, _>(PAGE);
        Ok(query.load(connection).await?)
    }
}

/// What the log knows of a user by: an id as it is; of a userName, in whatever case, the account that has it now, and whatever had or
/// was to have it, also where that was refused, or is gone. Nothing, where nobody is or was to be called so.
///
/// # Errors
/// See [`Error`].
pub async fn about(connection: &mut AsyncPgConnection, tenant: Uuid, user: &str) -> Result<Vec<Uuid>, Error> {
    let mut known: Vec<Uuid> = users::id_of(connection, tenant, user).await?.into_iter().collect();
    let called = commands::table
        .filter(commands::tenant_id.eq(tenant))
        .filter(commands::name_digest.eq(name_digest(tenant, user)))
        .select(commands::resource_id.assume_not_null())
        .distinct()
        .limit(RESOURCES);
    known.extend(called.load::<Uuid>(connection).await?);
    Ok(known)
}

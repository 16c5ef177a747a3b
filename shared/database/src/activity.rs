//! The activity log: who requested which change, when, and its outcome. Read from `commands`, which is kept for 30
//! days.
//!
//! It contains resource ids and reasons for rejections, and no other data about users.

use diesel::prelude::*;
use diesel::sql_types::{Array, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use time::OffsetDateTime;
use uuid::Uuid;

use super::reports::{Paged, ReportRow, object, page_of};
use super::schema::commands;
use super::{Error, users};
use domain::command::name_digest;
use domain::report::Column;
use domain::ticket::Ticket;

/// The names in a column. Earlier versions stored names as clients sent them, so whatever does not look like a name of a
/// schema is shown as `unknown`. (`$` and `_` occur in `$ref` and in registered names.)
macro_rules! known {
    ($column:literal) => {
        concat!(
            "(select string_agg(distinct case when name ~ '^[A-Za-z$][A-Za-z0-9:._$=-]*([(][0-9]+[)])?$' and length(name) <= 400 \
             then name else 'unknown' end, ' ') from unnest(",
            $column,
            ") name)"
        )
    };
}

const COLUMNS: &[Column] = &[
    ("at", "to_char(c.issued_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"),
    (
        "actor",
        "case when k.prefix is not null then 'key ' || k.prefix \
         when c.actor ~ '^[0-9a-f]{8}-' then 'key ' || c.actor else c.actor end",
    ),
    ("change", "c.change"),
    ("attributes", known!("c.attributes")),
    ("resource", "c.resource_id"),
    (
        "outcome",
        "case when c.status is null then 'pending' when c.status = 201 then 'created' when c.status = 200 then 'updated' \
         when c.status = 204 then 'deleted' when c.outcome ->> 'verdict' = 'stale' then 'overtaken' else 'rejected' end",
    ),
    ("status", "c.status"),
    ("reason", "c.outcome -> 'error' ->> 'detail'"),
    ("ignored", known!("c.ignored")),
    ("request", "c.request_id"),
    ("command", "c.id"),
];

/// The maximum number of resources that are considered for one userName.
const RESOURCES: i64 = 1000;

/// Which part of a tenant's log.
#[derive(Debug, Clone)]
pub struct ActivityOf {
    /// The tenant.
    pub tenant: Uuid,
    /// Only changes of these resources: see [`about`].
    pub resources: Option<Vec<Uuid>>,
    /// The start of the period.
    pub since: OffsetDateTime,
}

impl Paged for ActivityOf {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    /// Oldest first.
    async fn page(
        &self,
        connection: &mut AsyncPgConnection,
        after: Option<&str>,
    ) -> Result<Vec<ReportRow>, Error> {
        let later = if after.is_some() { "c.id > $3::uuid" } else { "$3::text is null" };
        // A separate statement for each case, so that the index finds the start of the page.
        let about = if self.resources.is_some() { "c.resource_id = any($4)" } else { "$4::uuid[] is null" };
        let statement = page_of(&format!(
            "select {}, c.id::text as key, c.id as position from commands c \
             left join api_keys k on k.tenant_id = c.tenant_id and k.id::text = c.actor \
             where c.tenant_id = $1 and c.id >= $2 and {later} and {about} \
             order by c.id",
            object(COLUMNS)
        ));
        let query = diesel::sql_query(statement)
            .bind::<SqlUuid, _>(self.tenant)
            .bind::<SqlUuid, _>(Ticket::least_at(self.since).0)
            .bind::<Nullable<Text>, _>(after)
            .bind::<Nullable<Array<SqlUuid>>, _>(self.resources.as_deref());
        Ok(query.load(connection).await?)
    }
}

/// The resources that the log may hold for a user. An id is returned as it is. A userName (case-insensitive) yields the
/// account that has it now, and those that had it or were to have it, even if that was rejected or the account was
/// deleted. Empty if the userName was never used.
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

//! The audit trail: what operators did to a tenant, and what ingest refused to the tenant's keys. Only rows are added.

use diesel::sql_types::{Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::report::Column;
use domain::ticket::Ticket;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Error;
use super::reports::{Paged, ReportRow, object, page_of};

const ACTIONS: &[Column] = &[
    ("at", "to_char(a.at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"),
    ("action", "a.action"),
    ("target", "a.target"),
    ("state", "a.state"),
    ("reason", "a.reason"),
    ("user", "a.os_user"),
    ("host", "a.host"),
    ("run", "a.run"),
];

const REFUSALS: &[Column] = &[
    ("minute", "to_char(a.minute at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"')"),
    ("key", "a.key"),
    ("address", "a.address"),
    ("method", "a.method"),
    ("route", "a.route"),
    ("status", "a.status"),
    ("scimType", "a.scim_type"),
    ("detail", "a.detail"),
    ("count", "a.count"),
];

/// Which part of the audit trail.
#[derive(Debug, Clone)]
pub struct AuditOf {
    /// The tenant's id.
    pub tenant: Uuid,
    /// Its name: commands of operators are stored with the name, since a command may fail before the tenant exists.
    pub tenant_name: String,
    /// The kind of entries.
    pub kind: Kind,
    /// The start of the period.
    pub since: OffsetDateTime,
}

/// A kind of entries of the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Writing commands of operators.
    OperatorActions,
    /// Refused requests.
    Refusals,
}

impl Paged for AuditOf {
    fn columns(&self) -> &'static [Column] {
        match self.kind {
            Kind::OperatorActions => ACTIONS,
            Kind::Refusals => REFUSALS,
        }
    }

    /// Oldest first.
    async fn page(
        &self,
        connection: &mut AsyncPgConnection,
        after: Option<&str>,
    ) -> Result<Vec<ReportRow>, Error> {
        let (table, owner) = match self.kind {
            Kind::OperatorActions => ("operator_actions", "a.tenant = $2"),
            Kind::Refusals => ("refusals", "a.tenant_id = $1"),
        };
        let later = if after.is_some() { "a.id > $4::uuid" } else { "$4::text is null" };
        let statement = page_of(&format!(
            "select {}, a.id::text as key, a.id as position from {table} a \
             where {owner} and $1::uuid is not null and $2::text is not null and a.id >= $3 and {later} \
             order by a.id",
            object(self.columns())
        ));
        let query = diesel::sql_query(statement)
            .bind::<SqlUuid, _>(self.tenant)
            .bind::<Text, _>(&self.tenant_name)
            .bind::<SqlUuid, _>(Ticket::least_at(self.since).0)
            .bind::<Nullable<Text>, _>(after);
        Ok(query.load(connection).await?)
    }
}

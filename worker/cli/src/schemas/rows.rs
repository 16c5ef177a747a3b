//! The rows of the table `schemas`.

use database::schema::schemas;
use diesel::prelude::*;
use serde_json::Value;
use time::OffsetDateTime;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = schemas)]
pub(super) struct SchemaRow {
    pub id: String,
    pub resource_type: String,
    pub definition: Value,
    pub created_at: OffsetDateTime,
    pub removed_at: Option<OffsetDateTime>,
}

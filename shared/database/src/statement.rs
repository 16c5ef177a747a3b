//! Additions to diesel's query builder.
//!
//! Set-based statements take many rows as one JSON parameter, so that the text is the same for any number of rows and
//! Postgres plans it once.

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Bool, Json};
use serde::Serialize;
use serde_json::Value;

/// A statement over rows that are passed as the relation `input`, with the named table's row type.
///
/// Columns that a row does not contain are null: the statement must list the columns that it uses.
#[derive(Debug, Clone)]
pub struct Rows {
    table: &'static str,
    statement: &'static str,
    rows: Value,
}

impl Rows {
    /// `statement` with `rows` as `input`. The rows serialize to objects with the column names of `table`.
    ///
    /// # Errors
    /// When a row cannot be serialized to JSON.
    pub fn new<T: Serialize>(table: &'static str, rows: &[T], statement: &'static str) -> QueryResult<Self> {
        let rows =
            serde_json::to_value(rows).map_err(|e| diesel::result::Error::SerializationError(Box::new(e)))?;
        Ok(Self { table, statement, rows })
    }
}

impl QueryFragment<Pg> for Rows {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("with input as (select * from json_populate_recordset(null::");
        out.push_sql(self.table);
        out.push_sql(", ");
        out.push_bind_param::<Json, Value>(&self.rows)?;
        out.push_sql(")) ");
        out.push_sql(self.statement);
        Ok(())
    }
}

impl QueryId for Rows {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// A literal condition without parameters. Unlike `diesel::dsl::sql` it is prepared once; unlike a parameter it lets
/// Postgres use a partial index.
#[derive(Debug, Clone, Copy)]
pub struct Constant(pub &'static str);

impl Expression for Constant {
    type SqlType = Bool;
}

impl<T> AppearsOnTable<T> for Constant {}
impl<T> SelectableExpression<T> for Constant {}

impl<GB> ValidGrouping<GB> for Constant {
    type IsAggregate = is_aggregate::No;
}

impl QueryFragment<Pg> for Constant {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

impl QueryId for Constant {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

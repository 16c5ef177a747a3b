//! Composes SQL: text from this program, and values as bound parameters.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Double, Jsonb, Text, Timestamptz, Uuid as SqlUuid};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// A piece of a statement. Its text never contains a value of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Sql {
    pieces: Vec<Piece>,
    /// Whether it is a condition that an index answers and whose text is the same for every value.
    is_lookup: bool,
    /// Whether it is a condition for which an index finds the rows, which are usually few.
    is_narrow: bool,
    /// Whether it is a condition that is a range of an index.
    is_range: bool,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Cow<'static, str>),
    Bind(Bind),
}

/// A bound value.
#[derive(Clone, Debug)]
enum Bind {
    Text(String),
    Uuid(Uuid),
    Json(Value),
    Number(f64),
    Integer(i64),
    Instant(OffsetDateTime),
}

impl Sql {
    /// The template with its question marks replaced by the parts.
    pub(super) fn fill<const N: usize>(template: &'static str, parts: [Sql; N]) -> Self {
        debug_assert_eq!(template.matches('?').count(), N, "the parts of {template}");
        let mut parts = parts.into_iter();
        let mut filled = Self::default();
        for (position, text) in template.split('?').enumerate() {
            if position > 0 {
                filled.pieces.extend(parts.next().unwrap_or_default().pieces);
            }
            filled.pieces.push(Piece::Text(Cow::Borrowed(text)));
        }
        filled
    }

    /// The parts with a word between them.
    pub(super) fn join(parts: impl IntoIterator<Item = Sql>, word: &'static str) -> Self {
        let mut joined = Self::default();
        for part in parts {
            if !joined.pieces.is_empty() {
                joined.pieces.push(Piece::Text(Cow::Borrowed(word)));
            }
            joined.pieces.extend(part.pieces);
        }
        joined
    }

    /// The same, marked as answered by an index.
    pub(super) fn into_lookup(self) -> Self {
        Self { is_lookup: true, is_narrow: true, ..self }
    }

    /// The same, marked as a condition for which an index finds the rows, if `is_narrow`.
    pub(super) fn narrow_if(self, is_narrow: bool) -> Self {
        Self { is_narrow, ..self }
    }

    /// Whether an index finds its rows, which are usually few.
    pub(super) fn is_narrow(&self) -> bool {
        self.is_narrow
    }

    /// The same, marked as a range of an index, if `is_range`.
    pub(super) fn range_if(self, is_range: bool) -> Self {
        Self { is_range, ..self }
    }

    /// Whether it is a range of an index, which may contain most rows.
    pub(super) fn is_range(&self) -> bool {
        self.is_range
    }

    /// Whether an index answers it.
    pub(super) fn is_lookup(&self) -> bool {
        self.is_lookup
    }

    fn bind(value: Bind) -> Self {
        Self { pieces: vec![Piece::Bind(value)], ..Self::default() }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { pieces: vec![Piece::Text(Cow::Borrowed(text))], ..Self::default() }
    }
}

/// The alias of a set of elements: `e1`, `e2`, one for each level of nested value filters.
pub(super) fn alias(depth: usize) -> Sql {
    Sql { pieces: vec![Piece::Text(Cow::Owned(format!("e{depth}")))], ..Sql::default() }
}

/// A bound text.
pub(super) fn text(value: impl Into<String>) -> Sql {
    Sql::bind(Bind::Text(value.into()))
}

/// A bound id.
pub(super) fn uuid(value: Uuid) -> Sql {
    Sql::bind(Bind::Uuid(value))
}

/// Bound JSON.
pub(super) fn json(value: Value) -> Sql {
    Sql::bind(Bind::Json(value))
}

/// A bound number.
pub(super) fn number(value: f64) -> Sql {
    Sql::bind(Bind::Number(value))
}

/// A bound whole number.
pub(super) fn integer(value: i64) -> Sql {
    Sql::bind(Bind::Integer(value))
}

/// A bound instant.
pub(super) fn instant(value: OffsetDateTime) -> Sql {
    Sql::bind(Bind::Instant(value))
}

impl QueryFragment<Pg> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_sql(text),
                Piece::Bind(Bind::Text(value)) => out.push_bind_param::<Text, _>(value)?,
                Piece::Bind(Bind::Uuid(value)) => out.push_bind_param::<SqlUuid, _>(value)?,
                Piece::Bind(Bind::Json(value)) => out.push_bind_param::<Jsonb, _>(value)?,
                Piece::Bind(Bind::Number(value)) => out.push_bind_param::<Double, _>(value)?,
                Piece::Bind(Bind::Integer(value)) => out.push_bind_param::<BigInt, _>(value)?,
                Piece::Bind(Bind::Instant(value)) => out.push_bind_param::<Timestamptz, _>(value)?,
            }
        }
        Ok(())
    }
}

/// A whole statement whose rows have the SQL types `T`.
#[derive(Clone, Debug)]
pub(super) struct Statement<T> {
    sql: Sql,
    is_kept: bool,
    rows: PhantomData<T>,
}

impl<T> Statement<T> {
    /// If `is_kept`, it is prepared once for each connection: for a few texts that are used often.
    pub(super) fn new(sql: Sql, is_kept: bool) -> Self {
        Self { sql, is_kept, rows: PhantomData }
    }
}

impl<T> QueryFragment<Pg> for Statement<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.is_kept {
            out.unsafe_to_cache_prepared();
        }
        self.sql.walk_ast(out)
    }
}

impl<T> QueryId for Statement<T> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> Query for Statement<T> {
    type SqlType = T;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_parameters() {
        let filled = Sql::fill("a = ? and b #>> '{}' = ?", [text("x'"), Sql::fill("(? || c)", [text("y")])]);
        let shown = diesel::debug_query::<Pg, _>(&filled).to_string();
        assert_eq!(shown, r#"a = $1 and b #>> '{}' = ($2 || c) -- binds: ["x'", "y"]"#);
    }
}

//! Comparisons with the text of a column and with values in JSON.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::NEVER;
use crate::list::field::{Column, Json};
use crate::list::literal::{Literal, after_prefix};
use crate::list::sql::{self, Sql};
use scim::schema::DataType;
use scim::syntax::CompareOp;

/// Whether the text of a column satisfies the comparison.
pub(super) fn column(column: Column, op: CompareOp, literal: &str) -> Sql {
    let bind = || sql::text(literal);
    match (op, &column.id) {
        (CompareOp::Equal, Some((id_column, prefix))) => {
            match literal.strip_prefix(prefix.as_str()).and_then(id) {
                Some(id) => looked_up(&column, Sql::fill("(? = ?)", [(*id_column).into(), sql::uuid(id)])),
                None => Sql::from(NEVER).narrow_if(true),
            }
        }
        (CompareOp::Equal, None) => {
            let value = column.equal.map_or_else(|| column.text.clone(), Sql::from);
            let is_equal = Sql::fill("(? = ?)", [value, bind()]);
            looked_up(&column, is_equal)
        }
        (CompareOp::NotEqual, _) => Sql::fill("(? is distinct from ?)", [column.text, bind()]),
        (CompareOp::Contains, _) => Sql::fill("(strpos(?, ?) > 0)", [column.text, bind()]),
        (CompareOp::EndsWith, _) => {
            Sql::fill("(right(?, char_length(?)) = ?)", [column.text, bind(), bind()])
        }
        // As a range, which an index answers.
        (CompareOp::StartsWith, _) => match after_prefix(literal) {
            Some(after) => {
                let is_range = column.is_indexed && column.id.is_none() && !literal.is_empty();
                Sql::fill("(? >= ? and ? < ?)", [column.text.clone(), bind(), column.text, sql::text(after)])
                    .range_if(is_range)
            }
            None => Sql::fill("(? >= ?)", [column.text, bind()]),
        },
        (op, _) => Sql::fill("(? ? ?)", [column.text, sign(op).into(), bind()]),
    }
}

fn looked_up(column: &Column, condition: Sql) -> Sql {
    if column.is_indexed { condition.into_lookup() } else { condition }
}

/// Whether any value satisfies the condition; never null.
pub(super) fn exists(json: &Json, condition: &str, variables: Map<String, Value>) -> Sql {
    Sql::fill(
        "jsonb_path_exists(?, ?::jsonpath, ?)",
        [json.base(), json.path_to(condition), sql::json(Value::Object(variables))],
    )
}

/// Whether any value in JSON satisfies the comparison. Values of other types are not compared, without an error.
pub(super) fn json(json: &Json, op: CompareOp, literal: Literal) -> Sql {
    let variable = |text: String| Map::from_iter([("v".to_owned(), Value::from(text))]);
    match literal {
        Literal::Text(text) => match op {
            CompareOp::Contains => some_text(json, "strpos(x.v #>> '{}', ?) > 0", [sql::text(text)]),
            CompareOp::EndsWith => some_text(
                json,
                "right(x.v #>> '{}', char_length(?)) = ?",
                [sql::text(text.clone()), sql::text(text)],
            ),
            CompareOp::StartsWith => exists(json, &is(DataType::String, "@ starts with $v"), variable(text)),
            op => exists(json, &is(DataType::String, &format!("@ {} $v", json_sign(op))), variable(text)),
        },
        Literal::Instant(_, folded) => {
            exists(json, &is(DataType::DateTime, &format!("@ {} $v", json_sign(op))), variable(folded))
        }
        Literal::Boolean(value) => {
            let word = if (op == CompareOp::Equal) == value { "true" } else { "false" };
            let condition = format!("@ == {word} || @ like_regex \"^{word}$\" flag \"i\"");
            exists(json, &condition, Map::new())
        }
        // Compared as `f64`, unlike JSON numbers in Postgres.
        Literal::Number(value) => Sql::fill(
            "exists (select from jsonb_path_query(?, ?::jsonpath) as x(v) where (x.v #>> '{}')::float8 ? ?)",
            [json.base(), json.path_to(&is(DataType::Decimal, "")), sign(op).into(), sql::number(value)],
        ),
    }
}

fn some_text<const N: usize>(json: &Json, condition: &'static str, binds: [Sql; N]) -> Sql {
    Sql::fill(
        "exists (select from jsonb_path_query(?, ?::jsonpath) as x(v) where ?)",
        [json.base(), json.path_to(&is(DataType::String, "")), Sql::fill(condition, binds)],
    )
}

/// The condition that a value has the type and satisfies another condition.
pub(in crate::list) fn is(data_type: DataType, condition: &str) -> String {
    let is_of_type = match data_type {
        DataType::Boolean => "@.type() == \"boolean\"",
        DataType::Decimal | DataType::Integer => "@.type() == \"number\"",
        // As `scim::search_document` writes them.
        DataType::DateTime => "@ like_regex \"^[0-9]{12}[.][0-9]{9}$\"",
        _ => "@.type() == \"string\" && @ != \"\"",
    };
    if condition.is_empty() { is_of_type.to_owned() } else { format!("{is_of_type} && {condition}") }
}

/// The operator in SQL.
pub(super) fn sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::NotEqual => "<>",
        CompareOp::Greater => ">",
        CompareOp::GreaterOrEqual => ">=",
        CompareOp::Less => "<",
        CompareOp::LessOrEqual => "<=",
        _ => "=",
    }
}

/// The operator in SQL/JSON.
fn json_sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "==",
        CompareOp::NotEqual => "!=",
        op => sign(op),
    }
}

/// An id as we write it: `id` is caseExact (RFC 7643 §3.1).
fn id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

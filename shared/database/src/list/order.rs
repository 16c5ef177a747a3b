//! The order of a list (RFC 7644 §3.4.2.3). Resources without a value come last in ascending order and first in
//! descending order. Ties are ordered by id.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Sort;
use super::condition::is;
use super::field::{Field, Finder, Json};
use super::sql::{self, Sql};
use scim::Error;
use scim::schema::{Attribute, DataType, Resolved, Target};

/// The key that a list is sorted by before ids.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// The key of `r`; null if it has none.
    pub key: Sql,
    /// The key's type.
    key_type: KeyType,
    /// Whether some resources have no key.
    pub has_gaps: bool,
    /// Whether the greatest key comes first.
    pub descending: bool,
    /// Whether the key is computed for each row and sorted by, without an index.
    pub is_computed: bool,
}

impl Order {
    /// `None` for the order of ids, which is also that of keys that derive from the id or are the same for all.
    ///
    /// # Errors
    /// 400 `invalidPath` for an unknown attribute, one that cannot be read, or one that can only be sorted by a
    /// sub-attribute.
    pub(super) fn new(finder: Finder<'_>, sort: &Sort) -> Result<Option<Self>, Error> {
        let target = target(finder, sort)?;
        let (key, has_gaps, key_type) =
            match (finder.field(target), target.attribute.sub_attribute("value"), target.sub) {
                // Sorted by id.
                (Field::Text(column), ..) if column.id.is_some() && !sort.descending => return Ok(None),
                (Field::Text(column), ..) if column.id.is_some() => ("r.id".into(), false, KeyType::Id),
                (Field::Text(column), ..) => (column.text, !column.is_certain, KeyType::Text),
                (Field::Instant(column), ..) => (column.into(), false, KeyType::Instant),
                (Field::Memberships(Some(part)), ..) => (
                    Sql::fill(
                        "(select ? from ? order by o.id limit 1)",
                        [part.text, finder.table().memberships().into()],
                    ),
                    true,
                    KeyType::Text,
                ),
                (Field::Json(_), value, sub) => (
                    json_key(finder.field(Target { sub: None, ..target }), target.attribute, sub.or(value)),
                    true,
                    KeyType::of(sub.or(value).unwrap_or(target.attribute)),
                ),
                (Field::Nothing | Field::Always | Field::Memberships(None), ..) => return Ok(None),
            };
        let is_computed = match finder.field(target) {
            Field::Text(column) => !column.is_indexed,
            _ => true,
        };
        Ok(Some(Self { key, key_type, has_gaps, descending: sort.descending, is_computed }))
    }

    /// A key of a page as a bound parameter; `None` if it is not a key of this order.
    pub(super) fn bind(&self, key: &Value) -> Option<Sql> {
        Some(match self.key_type {
            KeyType::Text => Sql::fill("(?::text collate \"C\")", [sql::text(key.as_str()?)]),
            KeyType::Boolean => Sql::from(if key.as_bool()? { "true" } else { "false" }),
            KeyType::Number => sql::number(key.as_f64()?),
            KeyType::Instant => sql::instant(OffsetDateTime::parse(key.as_str()?, &Rfc3339).ok()?),
            KeyType::Id => sql::uuid(key.as_str()?.parse().ok()?),
        })
    }

    /// The direction in SQL.
    pub(super) fn direction(&self) -> &'static str {
        match (self.descending, self.has_gaps) {
            (false, _) => "asc",
            (true, true) => "desc nulls first",
            // This lets an index be read backwards.
            (true, false) => "desc",
        }
    }

    /// The direction in SQL when the list is read from its end.
    pub(super) fn opposite(&self) -> &'static str {
        match (self.descending, self.has_gaps) {
            (true, _) => "asc",
            (false, true) => "desc nulls first",
            (false, false) => "desc",
        }
    }
}

/// The types of keys in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyType {
    Text,
    Boolean,
    Number,
    Instant,
    Id,
}

impl KeyType {
    /// As in `typed`.
    fn of(attribute: &Attribute) -> Self {
        match attribute.data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Decimal | DataType::Integer => Self::Number,
            _ => Self::Text,
        }
    }
}

fn target<'a>(finder: Finder<'a>, sort: &Sort) -> Result<Target<'a>, Error> {
    let Some(Resolved::Attribute(target)) = finder.resource_type.resolve(sort.by.as_str()) else {
        return Err(Error::invalid_path("sortBy does not name an attribute"));
    };
    if !target.attribute.is_filterable() || !target.leaf().is_filterable() {
        return Err(Error::invalid_path(format!("{target} cannot be sorted by")));
    }
    if target.leaf().data_type == DataType::Complex && target.leaf().sub_attribute("value").is_none() {
        return Err(Error::invalid_path(format!("{target} can only be sorted by a sub-attribute")));
    }
    Ok(target)
}

/// The value within JSON: of a list, the primary value, else the first.
fn json_key(field: Field, attribute: &Attribute, sub: Option<&Attribute>) -> Sql {
    let Field::Json(json) = field else { return "null::text".into() };
    let first = |json: &Json, condition: &str| {
        Sql::fill("jsonb_path_query_first(?, ?::jsonpath)", [json.base(), json.path_to(condition)])
    };
    let Some(sub) = sub else { return typed(attribute, first(&json, &is(attribute.data_type, ""))) };
    let typed_sub = sub.data_type;
    if !attribute.multi_valued {
        return typed(sub, first(&json.then(&[&sub.name]), &is(typed_sub, "")));
    }
    let element = match attribute.sub_attribute("primary") {
        Some(_) => Sql::fill("coalesce(?, ?)", [first(&json, "@.\"primary\" == true"), first(&json, "")]),
        None => first(&json, ""),
    };
    let part = Json::of(element).then(&[&sub.name]);
    typed(sub, first(&part, &is(typed_sub, "")))
}

/// JSON of the attribute's type, as a sortable value.
fn typed(attribute: &Attribute, json: Sql) -> Sql {
    match KeyType::of(attribute) {
        KeyType::Boolean => Sql::fill("((? #>> '{}')::boolean)", [json]),
        KeyType::Number => Sql::fill("((? #>> '{}')::float8)", [json]),
        _ => Sql::fill("((? #>> '{}') collate \"C\")", [json]),
    }
}

//! Maps a provider's user to the pulled attributes, by the tenant's attribute map. Pure. Unreadable values are skipped
//! and counted.

use std::collections::BTreeMap;

use domain::pull::{AttributeMap, Supplement};
use serde_json::{Number, Value};
use time::Date;
use time::macros::format_description;

/// The longest accepted text, in bytes.
const MAX_TEXT: usize = 1_000;

/// A user in the provider's group.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderUser {
    /// The provider's id, which is unique.
    pub id: String,
    /// The pulled attributes.
    pub supplement: Supplement,
    /// Whether the user has an `externalId` of their own. Without it, they match no account but count as members of the
    /// group.
    pub is_known: bool,
    /// Whether others in the group have the same `externalId`. Then the user matches only an account with their name.
    pub is_shared: bool,
    /// The number of unreadable values.
    pub unreadable: usize,
}

impl ProviderUser {
    /// Builds a user from the provider's attributes; `get` returns the value of one, or null.
    pub fn new<'a>(id: &str, login: &Value, map: &AttributeMap, get: impl Fn(&str) -> &'a Value) -> Self {
        let mut unreadable = 0;
        let external_id =
            noted(text(get(&map.external_id)).and_then(|id| id.ok_or(Unreadable)), &mut unreadable);
        let login = login.as_str().filter(|login| fits(login));
        let region = map.region.as_deref().and_then(|name| noted(text(get(name)), &mut unreadable));
        let hire_date = map.hire_date.as_deref().and_then(|name| noted(date(get(name)), &mut unreadable));
        let mut custom_fields = BTreeMap::new();
        for (field, name) in &map.custom_fields {
            custom_fields
                .extend(noted(custom(get(name)), &mut unreadable).map(|value| (field.clone(), value)));
        }
        let is_known = external_id.is_some();
        let id = id.to_owned();
        let supplement = Supplement {
            external_id: external_id.unwrap_or_else(|| id.clone()),
            login: login.unwrap_or_default().to_owned(),
            hire_date,
            region,
            custom_fields,
        };
        Self { id, supplement, is_known, is_shared: false, unreadable }
    }
}

/// The value is not a user.
#[derive(Debug, PartialEq, Eq)]
pub struct NoUser;

/// A value of an unexpected type or format.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

/// The value; counts it if it is unreadable.
fn noted<T>(read: Result<T, Unreadable>, unreadable: &mut usize) -> Option<T> {
    *unreadable += usize::from(read.is_err());
    read.ok()
}

/// Whether a text is neither empty nor too long, and has no NUL, which Postgres cannot store.
pub(super) fn fits(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT && !text.contains('\0')
}

/// A text; `None` if it is empty or missing.
fn text(value: &Value) -> Result<Option<String>, Unreadable> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) if fits(text) => Ok(Some(text.trim().to_owned())),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(Unreadable),
    }
}

/// A date, or the date of a timestamp; `None` if it is empty or missing. Only years that `time` and Postgres share.
fn date(value: &Value) -> Result<Option<Date>, Unreadable> {
    let Some(text) = text(value)? else { return Ok(None) };
    let day = text.split(['T', ' ']).next().unwrap_or_default();
    let date = Date::parse(day, format_description!("[year]-[month]-[day]")).map_err(|_| Unreadable)?;
    if (1..=9_999).contains(&date.year()) { Ok(Some(date)) } else { Err(Unreadable) }
}

/// A number in the form in which Postgres returns it, without exponent if it is an integer, so that it compares equal.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is an integer within the bounds"
)]
fn number(number: &Number) -> Value {
    match number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0) {
        Some(float) if (0.0..=1.8e19).contains(&float) => Value::from(float as u64),
        Some(float) if (-9e18..0.0).contains(&float) => Value::from(float as i64),
        _ => Value::Number(number.clone()),
    }
}

/// A custom field: a plain value or a list of plain values; null if it is missing.
fn custom(value: &Value) -> Result<Value, Unreadable> {
    match value {
        Value::String(_) => Ok(text(value)?.map_or(Value::Null, Value::String)),
        Value::Null | Value::Bool(_) => Ok(value.clone()),
        Value::Number(value) => Ok(number(value)),
        Value::Array(values) if values.is_empty() => Ok(Value::Null),
        Value::Array(values) => {
            let is_plain = |value: &Value| match value {
                Value::String(text) => !text.contains('\0'),
                _ => value.is_number() || value.is_boolean(),
            };
            let size = values.iter().map(|value| value.as_str().map_or(8, str::len)).sum::<usize>();
            if !values.iter().all(is_plain) || size > MAX_TEXT {
                return Err(Unreadable);
            }
            Ok(values.iter().map(|value| value.as_number().map_or_else(|| value.clone(), number)).collect())
        }
        Value::Object(_) => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::date;

    use super::*;

    fn map() -> AttributeMap {
        let map =
            json!({ "hire_date": "startDate", "region": "region", "custom_fields": { "Shirt": "shirt" } });
        AttributeMap::parse(&map.to_string()).unwrap()
    }

    fn read(profile: Value) -> ProviderUser {
        of(&profile, &map())
    }

    fn of(profile: &Value, map: &AttributeMap) -> ProviderUser {
        let id = json!("00u1");
        let get = |name: &str| if name == "id" { &id } else { &profile[name] };
        ProviderUser::new("00u1", &profile["login"], map, get)
    }

    #[test]
    fn only_mapped_attributes_are_pulled() {
        let user = read(json!({
            "login": "ada@acme.example", "startDate": "2024-02-29T00:00:00Z", "region": " EMEA ",
            "shirt": ["M", "L"], "department": "R&D"
        }));
        let Supplement { external_id, login, hire_date, region, custom_fields } = user.supplement;
        assert_eq!((&*external_id, &*login), ("00u1", "ada@acme.example"));
        assert_eq!((hire_date, region), (Some(Some(date!(2024 - 02 - 29))), Some(Some("EMEA".to_owned()))));
        assert_eq!(custom_fields, BTreeMap::from([("Shirt".to_owned(), json!(["M", "L"]))]));
        assert_eq!(user.unreadable, 0);
    }

    #[test]
    fn empty_attributes_are_cleared() {
        for profile in [json!({}), json!({ "startDate": null, "region": "", "shirt": [] })] {
            let supplement = read(profile).supplement;
            assert_eq!((supplement.hire_date, supplement.region), (Some(None), Some(None)));
            assert_eq!(supplement.custom_fields["Shirt"], Value::Null);
        }
    }

    #[test]
    fn unreadable_values_are_counted_and_left_unchanged() {
        let long = "x".repeat(MAX_TEXT + 1);
        for (profile, unreadable) in [
            (json!({ "startDate": "29.02.2024", "region": "EMEA", "shirt": "M" }), 1),
            (json!({ "startDate": "2023-02-29", "region": {}, "shirt": { "size": "M" } }), 3),
            (json!({ "startDate": true, "region": long, "shirt": [["M"]] }), 3),
            (json!({ "startDate": "", "region": "a\0b", "shirt": ["a\0b"] }), 2),
            (json!({ "startDate": "0000-01-01" }), 1),
            (json!({ "startDate": "-2024-01-01" }), 1),
            (json!({ "startDate": "+12024-01-01" }), 1),
        ] {
            let user = read(profile.clone());
            assert_eq!(user.unreadable, unreadable, "{profile}");
            assert_eq!(user.supplement.hire_date.is_none(), profile["startDate"] != "", "{profile}");
        }
    }

    #[test]
    fn numbers_have_the_form_of_postgres() {
        for (value, expected) in
            [("1e16", "10000000000000000"), ("2.0", "2"), ("1.5", "1.5"), ("1e300", "1e+300"), ("-0.0", "0")]
        {
            let value: Value = serde_json::from_str(value).unwrap();
            assert_eq!(
                read(json!({ "shirt": value })).supplement.custom_fields["Shirt"].to_string(),
                expected
            );
            let list = read(json!({ "shirt": [value] })).supplement.custom_fields["Shirt"].to_string();
            assert_eq!(list, format!("[{expected}]"));
        }
    }

    #[test]
    fn external_id_can_be_another_attribute() {
        let map = AttributeMap { external_id: "employeeNumber".to_owned(), ..map() };
        let known = |number: Value| of(&json!({ "employeeNumber": number }), &map);
        assert_eq!(known(json!(4711)).supplement.external_id, "4711");
        let unknown = known(json!(""));
        assert_eq!((unknown.is_known, unknown.unreadable), (false, 1));
    }
}

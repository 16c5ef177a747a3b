//! A resource in the form in which filters compare it: what is not caseExact is folded, instants are in one form.
//!
//! Before it: the worker, which keeps this form beside the resource. After it: filters and sorting in the database, which
//! thereby compare as [`Filter::matches`] does, whatever the database's locale.
//!
//! The form, attribute by attribute, in the resource's own structure and under its canonical names:
//! - a string or reference that is not caseExact is folded as [`folded_text`] does; one that is caseExact, and binary, is as
//!   it was written;
//! - a dateTime is the text of [`folded_instant`];
//! - booleans and numbers are as they are;
//! - attributes of an extension stand in an object under its URN; values of a list stay in their order;
//! - an attribute with a default has it, as it is shown;
//! - what the table does not know, and what nobody may filter by ([`Attribute::is_filterable`]), is left out.
//!
//! Texts of it compare by their bytes (`collate "C"`), which is the order of characters too.
//!
//! [`Filter::matches`]: super::Filter::matches

use serde_json::{Map, Value};

use super::case;
use super::dialect::values::instant;
use super::resource::Resource;
use super::schema::{Attribute, DataType, ResourceType};

/// Seconds from the beginning of the year -1 to 1970: RFC 3339 has years from 0 to 9999, and an offset may lead out of them.
const SECONDS_BEFORE_1970: i64 = 62_198_755_200;

/// The resource as filters compare it.
#[must_use]
pub fn folded(resource_type: &ResourceType, resource: &Resource) -> Map<String, Value> {
    let members = resource.members();
    let mut folded = folded_members(resource_type.core_attributes(), members);
    folded.insert("schemas".to_owned(), resource_type.used_schemas(members).into());
    for attribute in resource_type.core_attributes() {
        if let Some(default) = &attribute.default {
            folded.entry(&*attribute.name).or_insert_with(|| default.clone());
        }
    }
    for schema in &resource_type.extensions {
        let Some(Value::Object(members)) = members.get(&*schema.id) else { continue };
        let members = folded_members(schema.attributes.iter(), members);
        if !members.is_empty() {
            folded.insert(schema.id.to_string(), Value::Object(members));
        }
    }
    folded
}

/// A text that is not caseExact, as filters compare it: in lower case, letter by letter, by Unicode's rules and no language's;
/// every sigma is σ.
#[must_use]
pub fn folded_text(text: &str) -> String {
    case::folded(text)
}

/// A dateTime (RFC 7643 §2.3.5) as filters compare it: the seconds since the beginning of the year -1 in UTC, twelve digits, a
/// dot, and nine digits of nanoseconds, so that the order of bytes is the order of time. None for what is no dateTime.
#[must_use]
pub fn folded_instant(text: &str) -> Option<String> {
    let instant = instant(text)?;
    let seconds = instant.unix_timestamp() + SECONDS_BEFORE_1970;
    Some(format!("{seconds:012}.{:09}", instant.nanosecond()))
}

fn folded_members<'a>(
    attributes: impl Iterator<Item = &'a Attribute>,
    members: &Map<String, Value>,
) -> Map<String, Value> {
    let filterable = attributes.filter(|attribute| attribute.is_filterable());
    let folded = filterable.filter_map(|attribute| {
        let value = members.get(&*attribute.name)?;
        Some((attribute.name.to_string(), folded_value(attribute, value)))
    });
    folded.collect()
}

fn folded_value(attribute: &Attribute, value: &Value) -> Value {
    match (value, attribute.data_type) {
        (Value::Array(elements), _) => {
            elements.iter().map(|element| folded_value(attribute, element)).collect()
        }
        (Value::Object(parts), DataType::Complex) => {
            Value::Object(folded_members(attribute.sub_attributes.iter(), parts))
        }
        (Value::String(text), DataType::DateTime) => folded_instant(text).map_or(Value::Null, Value::from),
        (Value::String(text), _) if !attribute.case_exact => Value::from(folded_text(text)),
        (value, _) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_bytes_is_the_order_of_time() {
        let in_order = [
            "0000-01-01T00:00:00+23:59",
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "1970-01-01T00:00:00Z",
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.000000001Z",
            "2026-01-02T03:04:05.1Z",
            "2026-01-02T03:04:06+00:00",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-23:59",
        ];
        let folded = in_order.map(|text| folded_instant(text).unwrap());
        assert!(folded.is_sorted(), "{folded:?}");
        assert!(folded.iter().all(|text| text.len() == 22), "{folded:?}");
        assert_eq!(folded_instant("2026-01-02T03:04:05Z"), folded_instant("2026-01-02T04:04:05.000+01:00"));
        assert_eq!(folded_instant("yesterday"), None);
    }

    #[test]
    fn the_table_decides_what_is_folded() {
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let body = json!({
            "userName": "Ann@CORP.example", "externalId": "00uABC", "name": { "givenName": "ÉVA", "familyName": "Lee" },
            "emails": [{ "value": "Ann@Corp.example", "primary": true }], "profileUrl": "https://X.example/A",
            (urn): { "department": "Sales", "manager": { "value": "7A", "displayName": "Bo" } },
        });
        let resource = Resource::parse(ResourceType::user(), &body).unwrap();
        let expected = json!({
            "schemas": [super::super::USER_URN, urn], "active": true,
            "userName": "ann@corp.example", "externalId": "00uABC",
            "name": { "givenName": "éva", "familyName": "lee" },
            "emails": [{ "value": "ann@corp.example", "primary": true }], "profileUrl": "https://X.example/A",
            (urn): { "department": "sales", "manager": { "value": "7A", "displayName": "bo" } },
        });
        assert_eq!(Value::Object(folded(ResourceType::user(), &resource)), expected);
    }

    #[test]
    fn what_the_table_does_not_know_is_dropped() {
        let stored: Resource = serde_json::from_value(json!({
            "displayName": "A", "shoeSize": 44, "urn:example:gone": { "a": "B" },
        }))
        .unwrap();
        let folded = folded(ResourceType::group(), &stored);
        assert_eq!(
            Value::Object(folded),
            json!({ "schemas": [super::super::GROUP_URN], "displayName": "a" })
        );
    }
}

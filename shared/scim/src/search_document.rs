//! The search document of a resource: the resource in the form in which filters compare it. Strings that are not
//! caseExact are folded, and dateTimes have one canonical form.
//!
//! The worker stores it beside the resource. Filters and sorting in the database use it, so that they compare as
//! [`Filter::matches`] does, independent of the database's locale.
//!
//! The document has the resource's structure and canonical names:
//! - a string or reference that is not caseExact is folded by [`folded_text`]; caseExact and binary values are
//!   unchanged;
//! - a dateTime is the text of [`folded_instant`];
//! - booleans and numbers are unchanged;
//! - attributes of an extension are in an object under its URN; values of a list keep their order;
//! - an attribute with a default and no value has the default, as in the representation;
//! - unknown attributes and those that cannot be filtered ([`Attribute::is_filterable`]) are omitted.
//!
//! Its texts are compared bytewise (`collate "C"`), which is also the order of code points.
//!
//! [`Filter::matches`]: super::Filter::matches

use serde_json::{Map, Value};

use super::case;
use super::resource::Resource;
use super::schema::{Attribute, DataType, ResourceType};
use super::value::lenient::instant;

/// Seconds from the start of the year -1 to 1970. RFC 3339 has years from 0 to 9999, and an offset may extend the
/// range.
const SECONDS_BEFORE_1970: i64 = 62_198_755_200;

/// The search document of a resource.
#[must_use]
pub fn search_document(resource_type: &ResourceType, resource: &Resource) -> Map<String, Value> {
    let members = resource.members();
    let mut document = folded_members(resource_type.core_attributes(), members);
    document.insert("schemas".to_owned(), resource_type.used_schemas(members).into());
    for attribute in resource_type.core_attributes() {
        if let Some(default) = &attribute.default {
            document.entry(&*attribute.name).or_insert_with(|| default.clone());
        }
    }
    for schema in &resource_type.extensions {
        let Some(Value::Object(members)) = members.get(&*schema.id) else { continue };
        let members = folded_members(schema.attributes.iter(), members);
        if !members.is_empty() {
            document.insert(schema.id.to_string(), Value::Object(members));
        }
    }
    document
}

/// A text that is not caseExact, as filters compare it: lower-cased character by character by Unicode's rules,
/// independent of language. Every sigma becomes σ.
#[must_use]
pub fn folded_text(text: &str) -> String {
    case::folded(text)
}

/// A dateTime (RFC 7643 §2.3.5) as filters compare it: seconds since the start of the year -1 in UTC with twelve
/// digits, a dot, and nanoseconds with nine digits, so that bytewise order is chronological order. `None` for an
/// invalid dateTime.
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
    fn folded_instants_sort_chronologically() {
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
    fn the_schema_determines_which_values_are_folded() {
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
        assert_eq!(Value::Object(search_document(ResourceType::user(), &resource)), expected);
    }

    #[test]
    fn attributes_outside_the_schema_are_dropped() {
        let stored: Resource = serde_json::from_value(json!({
            "displayName": "A", "shoeSize": 44, "urn:example:gone": { "a": "B" },
        }))
        .unwrap();
        let folded = search_document(ResourceType::group(), &stored);
        assert_eq!(
            Value::Object(folded),
            json!({ "schemas": [super::super::GROUP_URN], "displayName": "a" })
        );
    }
}

//! The map from Okta's attributes to ours, as it is parsed from a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The maximum number of custom fields.
const MAX_FIELDS: usize = 50;
/// The maximum length of the name of a field or an attribute, in bytes.
const MAX_NAME: usize = 64;

/// The map from Okta's attributes to ours. The names are those of the Okta user's `profile`, or `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeMap {
    /// The attribute that SCIM sends as `externalId`, by which users are matched: Okta's own id unless the app maps
    /// another one.
    #[serde(default = "id")]
    pub external_id: String,
    /// The hire date's attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hire_date: Option<String>,
    /// The region's attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The attributes of the custom fields, by the fields' names.
    #[serde(default)]
    pub custom_fields: BTreeMap<String, String>,
}

fn id() -> String {
    "id".to_owned()
}

impl AttributeMap {
    /// Parses a file.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence that names the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Object(given) = serde_json::from_str::<Object<Given>>(text)
            .map_err(|error| format!("is not an attribute map (a JSON object): {error}"))?;
        let mut map =
            Self { external_id: id(), hire_date: None, region: None, custom_fields: BTreeMap::new() };
        let mut known = BTreeSet::new();
        for (name, given) in given {
            if !known.insert(name.clone()) {
                return Err(format!("has {name} twice"));
            }
            match (&*name, given) {
                ("external_id", Given::Other(value)) => map.external_id = attribute(&name, &value)?,
                // The same as absent.
                ("hire_date" | "region", Given::Other(Value::Null)) => {}
                ("hire_date", Given::Other(value)) => map.hire_date = Some(attribute(&name, &value)?),
                ("region", Given::Other(value)) => map.region = Some(attribute(&name, &value)?),
                ("custom_fields", Given::Object(fields)) => map.custom_fields = custom_fields(fields)?,
                ("custom_fields", Given::Other(_)) => {
                    return Err("has custom_fields that are not an object".to_owned());
                }
                ("external_id" | "hire_date" | "region", Given::Object(_)) => {
                    return Err(format!(
                        "has a {name} that is an object instead of the name of an attribute"
                    ));
                }
                _ => {
                    let known = "external_id, hire_date, region, custom_fields";
                    return Err(format!("has an unknown field {name:?}: use {known}"));
                }
            }
        }
        Ok(map)
    }
}

/// The attributes of the custom fields, by the fields' names.
fn custom_fields(Object(given): Object<Value>) -> Result<BTreeMap<String, String>, String> {
    let mut fields = BTreeMap::new();
    for (field, value) in given {
        if field.trim().is_empty() || field.len() > MAX_NAME || field.chars().any(char::is_control) {
            return Err(format!(
                "has the custom field {field:?}, whose name must have 1 to {MAX_NAME} bytes"
            ));
        }
        let attribute = attribute(&format!("custom_fields.{field}"), &value)?;
        if fields.insert(field.clone(), attribute).is_some() {
            return Err(format!("has custom_fields.{field} twice"));
        }
    }
    if fields.len() > MAX_FIELDS {
        return Err(format!("has more than {MAX_FIELDS} custom_fields"));
    }
    Ok(fields)
}

/// The name of an Okta attribute.
fn attribute(place: &str, value: &Value) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = |text: &&str| !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(is_part);
    let name = value.as_str().filter(is_name);
    let name = name.ok_or_else(|| {
        let form = "letters, digits and _, without `profile.` before it";
        format!(
            "has a {place} that is {value}: it must be the name of an attribute of Okta's profile ({form})"
        )
    })?;
    Ok(name.to_owned())
}

/// An object with its fields as in the file: a name may occur twice.
struct Object<T>(Vec<(String, T)>);

/// A field's value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    /// An object.
    Object(Object<Value>),
    /// Anything else.
    Other(Value),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_a_map_omits_have_their_defaults() {
        let map = AttributeMap::parse(r#"{"hire_date":"startDate","custom_fields":{"Shirt":"shirtSize"}}"#);
        let map = map.unwrap();
        assert_eq!(
            (&*map.external_id, map.hire_date.as_deref(), map.region),
            ("id", Some("startDate"), None)
        );
        assert_eq!(map.custom_fields["Shirt"], "shirtSize");
    }

    #[test]
    fn an_invalid_map_is_rejected_with_the_reason() {
        let many: BTreeMap<String, &str> = (0..51).map(|n| (n.to_string(), "x")).collect();
        let many = json!({ "custom_fields": many }).to_string();
        for (wrong, word) in [
            ("[]", "not an attribute map"),
            ("{", "not an attribute map"),
            (r#"{"hire":"startDate"}"#, r#""hire""#),
            (r#"{"hire_date":7}"#, "hire_date"),
            (r#"{"hire_date":""}"#, "hire_date"),
            (r#"{"hire_date":["a"]}"#, "hire_date"),
            (r#"{"hire_date":{"a":"b"}}"#, "hire_date"),
            (r#"{"external_id":null}"#, "external_id"),
            (r#"{"region":"profile.region"}"#, "region"),
            (r#"{"custom_fields":{"":"x"}}"#, "custom field"),
            (r#"{"custom_fields":["x"]}"#, "custom_fields"),
            (r#"{"custom_fields":{"Shirt":7}}"#, "custom_fields.Shirt"),
            (r#"{"custom_fields":{"Shirt":{"a":"b"}}}"#, "custom_fields.Shirt"),
            (r#"{"region":"a","region":"b"}"#, "region twice"),
            (r#"{"custom_fields":{"Shirt":"a","Shirt":"b"}}"#, "custom_fields.Shirt twice"),
            (&many, "50"),
        ] {
            let said = AttributeMap::parse(wrong).unwrap_err();
            assert!(said.contains(word), "{wrong}: {said}");
        }
        let map = AttributeMap::parse(r#"{"hire_date":null}"#).unwrap();
        assert_eq!((map.hire_date, &*map.external_id), (None, "id"));
    }
}

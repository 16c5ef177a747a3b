//! The types of the pull from Okta's API: the map from Okta's attributes to ours, and the data of a user.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use time::Date;
use url::{Host, Url};

/// The maximum number of custom fields.
const MAX_FIELDS: usize = 50;
/// The maximum length of the name of a field or an attribute, in bytes.
const MAX_NAME: usize = 64;

/// A date as it is stored and sent: `2026-01-05`.
#[allow(missing_docs, clippy::allow_attributes, reason = "the macro's items are those of `time::serde`")]
mod iso {
    time::serde::format_description!(iso_date, Date, "[year]-[month]-[day]");
    pub use iso_date::option as date;

    /// One date.
    #[derive(serde::Deserialize)]
    pub struct Given(#[serde(with = "iso_date")] pub time::Date);
}

pub use iso::date;

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

/// The data that a pull has read for a user. Absent fields leave the stored ones unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Supplement {
    /// SCIM's `externalId`: an account without one is linked by it.
    pub external_id: String,
    /// The userName by which an account without an `externalId` is found.
    pub login: String,
    /// The hire date; `Some(None)` clears it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "explicit_date")]
    pub hire_date: Option<Option<Date>>,
    /// The region; `Some(None)` clears it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub region: Option<Option<String>>,
    /// The custom fields by name; null clears one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_fields: BTreeMap<String, Value>,
}

/// Distinguishes null from an absent value.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The same for a date. It uses serde's own `Option`: that of `time` rejects a null that serde has buffered, as it
/// does within a command.
mod explicit_date {
    use serde::{Deserialize, Deserializer, Serializer};
    use time::Date;

    use super::{date, iso};

    pub fn serialize<S: Serializer>(given: &Option<Option<Date>>, serializer: S) -> Result<S::Ok, S::Error> {
        date::serialize(&given.flatten(), serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Date>>, D::Error> {
        Option::<iso::Given>::deserialize(deserializer).map(|given| Some(given.map(|given| given.0)))
    }
}

/// Normalizes the URL of an Okta organization.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn okta_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|_| "must be a URL, such as https://acme.okta.com".to_owned())?;
    let is_bare = url.username().is_empty() && url.password().is_none();
    if !is_bare || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("must be only scheme and host, such as https://acme.okta.com".to_owned());
    }
    if !is_safe(&url) {
        return Err("must begin with https://, or the token would be sent unencrypted".to_owned());
    }
    Ok(url.origin().ascii_serialization())
}

/// Whether data that is sent there is encrypted or stays on this machine.
fn is_safe(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && is_loopback
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::date;

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

    #[test]
    fn a_supplement_distinguishes_null_from_absent() {
        let mut given = Supplement {
            external_id: "00u1".to_owned(),
            login: "ada".to_owned(),
            hire_date: Some(Some(date!(2024 - 02 - 29))),
            region: Some(None),
            custom_fields: BTreeMap::from([("Shirt".to_owned(), Value::Null)]),
        };
        for expected in [
            json!({ "external_id": "00u1", "login": "ada", "hire_date": "2024-02-29", "region": null,
                    "custom_fields": { "Shirt": null } }),
            json!({ "external_id": "00u1", "login": "ada", "hire_date": null }),
            json!({ "external_id": "00u1", "login": "ada" }),
        ] {
            assert_eq!(serde_json::to_value(&given).unwrap(), expected);
            assert_eq!(serde_json::from_value::<Supplement>(expected).unwrap(), given);
            given.hire_date = if given.region.is_some() { Some(None) } else { None };
            (given.region, given.custom_fields) = (None, BTreeMap::new());
        }
    }

    #[test]
    fn an_okta_url_must_be_https_or_loopback() {
        for (text, expected) in [
            ("https://acme.okta.com", Ok("https://acme.okta.com")),
            ("https://Acme.okta.com:443/", Ok("https://acme.okta.com")),
            ("http://127.0.0.1:9999", Ok("http://127.0.0.1:9999")),
            ("http://[::1]:1", Ok("http://[::1]:1")),
            ("http://acme.okta.com", Err("https://")),
            ("http://127.0.0.1.example.com", Err("https://")),
            ("https://me:secret@acme.okta.com", Err("only")),
            ("https://acme.okta.com/api/v1", Err("only")),
            ("ftp://acme.okta.com", Err("https://")),
            ("acme", Err("a URL")),
        ] {
            match (okta_url(text), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url, expected),
                (Err(said), Err(word)) => assert!(said.contains(word) && !said.contains("secret"), "{said}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}

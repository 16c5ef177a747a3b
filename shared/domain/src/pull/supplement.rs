//! The data of a user that a pull has read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use time::Date;

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

    use crate::pull::{date, iso};

    pub fn serialize<S: Serializer>(given: &Option<Option<Date>>, serializer: S) -> Result<S::Ok, S::Error> {
        date::serialize(&given.flatten(), serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Date>>, D::Error> {
        Option::<iso::Given>::deserialize(deserializer).map(|given| Some(given.map(|given| given.0)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::date;

    use super::*;

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
}

//! The limits of a tenant, all in one table: each has a generous default, and bounds within which an operator may set
//! another value for a tenant. Whatever reaches a limit names it.

use std::fmt;

use serde::de::{self, Deserializer, Unexpected};
use serde::{Deserialize, Serialize, Serializer};

/// A limit: a whole number with a default and bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<const DEFAULT: u32, const LEAST: u32, const MOST: u32>(u32);

/// A row of the table of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRow {
    /// The setting's name.
    pub key: &'static str,
    /// The value of a tenant without its own.
    pub default: u32,
    /// The least value that can be set.
    pub least: u32,
    /// The greatest value that can be set.
    pub most: u32,
    /// What it limits, with the unit.
    pub what: &'static str,
}

/// Why a request was refused: this limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limit {key} = {value} reached")]
pub struct Reached {
    /// The limit's name.
    pub key: &'static str,
    /// Its value for the tenant.
    pub value: u32,
}

impl<const DEFAULT: u32, const LEAST: u32, const MOST: u32> Limit<DEFAULT, LEAST, MOST> {
    /// The value.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<const DEFAULT: u32, const LEAST: u32, const MOST: u32> Default for Limit<DEFAULT, LEAST, MOST> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const DEFAULT: u32, const LEAST: u32, const MOST: u32> Serialize for Limit<DEFAULT, LEAST, MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de, const DEFAULT: u32, const LEAST: u32, const MOST: u32> Deserialize<'de>
    for Limit<DEFAULT, LEAST, MOST>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u32::deserialize(deserializer)?;
        if (LEAST..=MOST).contains(&value) {
            return Ok(Self(value));
        }
        Err(de::Error::invalid_value(Unexpected::Unsigned(value.into()), &Bounds(LEAST, MOST)))
    }
}

/// The bounds of a value, for an error.
struct Bounds(u32, u32);

impl de::Expected for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.0, self.1)
    }
}

/// Defines the limits from one table: name, default, bounds, and what is limited.
macro_rules! limits {
    ($($key:ident = $default:literal, $least:literal to $most:literal: $what:literal;)*) => {
        /// A tenant's limits.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Limits {
            $(#[doc = $what] pub $key: Limit<$default, $least, $most>,)*
        }

        /// The table of limits.
        pub const LIMITS: &[LimitRow] = &[
            $(LimitRow {
                key: stringify!($key), default: $default, least: $least, most: $most, what: $what,
            },)*
        ];

        impl Limits {
            $(#[doc = concat!("The error of whoever reaches the limit `", stringify!($key), "`.")]
            #[must_use]
            pub fn $key(&self) -> Reached {
                Reached { key: stringify!($key), value: self.$key.get() }
            })*
        }
    };
}

limits! {
    requests_per_second = 10_000, 0 to 1_000_000:
        "maximum requests per second at each ingest, with a burst of as many; 0 means no limit";
    users_max = 1_000_000, 1 to 100_000_000:
        "maximum users, archived ones included; more are refused with 403";
    async_requests_max = 5_000, 1 to 100_000:
        "maximum asynchronous changes that each ingest has accepted and that are not yet applied";
    async_kib_max = 32_768, 1_024 to 1_048_576:
        "maximum total size of these changes, in KiB";
    events_per_second = 500, 1 to 100_000:
        "maximum events per second at each ingest's POST /events, with a burst of two seconds, at least 1,000";
    events_queued_max = 20_000, 1_000 to 1_000_000:
        "maximum events that each ingest has queued and no notifier has processed";
    parked_events_max = 10_000, 1 to 1_000_000:
        "maximum events that wait for an unknown user; more become dead letters";
    mails_per_minute = 6_000, 0 to 1_000_000:
        "maximum mails per minute of all notifiers together; 0 means no limit";
    pull_users_max = 1_000_000, 1 to 10_000_000:
        "maximum users of the identity provider's group that one pull reads";
    pull_pages_max = 20_000, 1 to 1_000_000:
        "maximum pages that one pull reads";
    keys_max = 100, 1 to 10_000:
        "maximum API keys that are not revoked";
    schemas_max = 20, 1 to 1_000:
        "maximum registered extension schemas";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_limit_has_a_default_within_its_bounds() {
        let defaults = serde_json::to_value(Limits::default()).unwrap();
        for row in LIMITS {
            assert_eq!(defaults[row.key], json!(row.default), "{}", row.key);
            assert!((row.least..=row.most).contains(&row.default) && row.default > 0, "{}", row.key);
        }
        assert_eq!(defaults.as_object().unwrap().len(), LIMITS.len());
    }

    #[test]
    fn values_out_of_bounds_are_refused_with_the_bounds() {
        for row in LIMITS {
            for value in [row.least, row.most] {
                let limits: Limits = serde_json::from_value(json!({ (row.key): value })).unwrap();
                assert_eq!(serde_json::to_value(limits).unwrap()[row.key], json!(value));
            }
            let said = serde_json::from_value::<Limits>(json!({ (row.key): row.most + 1 })).unwrap_err();
            let bounds = format!("a whole number from {} to {}", row.least, row.most);
            assert!(said.to_string().contains(&bounds), "{said}");
        }
        assert!(serde_json::from_value::<Limits>(json!({ "users_max": 0 })).is_err());
    }

    #[test]
    fn an_error_names_the_limit_and_its_value() {
        let limits: Limits = serde_json::from_value(json!({ "users_max": 7 })).unwrap();
        assert_eq!(limits.users_max().to_string(), "limit users_max = 7 reached");
    }
}

//! Reads stored settings, which another version of this program or an administrator may have written. They are read
//! one by one, so that an unreadable setting does not affect the others.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::warn;
use uuid::Uuid;

use super::Settings;

/// A digest of the stored settings that were last warned about, by tenant.
static WARNED: LazyLock<Mutex<HashMap<Uuid, u64>>> = LazyLock::new(Mutex::default);

impl Settings {
    /// A tenant's stored settings. A setting that this version cannot read falls back to its default, and is logged
    /// once per change.
    #[must_use]
    pub fn stored(tenant: Uuid, stored: &Value) -> Self {
        let (settings, unreadable) = read(stored);
        if !unreadable.is_empty() && is_news(tenant, stored) {
            warn!(tenant.id = %tenant, settings = unreadable.join(", "), "using the defaults of tenant settings that cannot be read");
        }
        settings
    }
}

/// The readable settings, and the names of the others.
fn read(stored: &Value) -> (Settings, Vec<String>) {
    let parse = |settings: Map<String, Value>| serde_json::from_value::<Settings>(settings.into());
    let Value::Object(stored) = stored else { return (Settings::default(), vec!["all".to_owned()]) };
    if let Ok(settings) = parse(stored.clone()) {
        return (settings, Vec::new());
    }
    let (mut readable, mut unreadable) = (Map::new(), Vec::new());
    for (key, value) in stored {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        match parse(alone.clone()) {
            Ok(_) => readable.extend(alone),
            Err(_) => unreadable.push(key.clone()),
        }
    }
    (parse(readable).unwrap_or_default(), unreadable)
}

/// Whether these settings were not warned about before.
fn is_news(tenant: Uuid, stored: &Value) -> bool {
    let mut hasher = DefaultHasher::new();
    stored.to_string().hash(&mut hasher);
    let digest = hasher.finish();
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    warned.insert(tenant, digest) != Some(digest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::{DESCRIBED, LIMITS, Locale, OnDuplicate};

    #[test]
    fn an_unreadable_setting_has_its_default_and_does_not_affect_others() {
        let good = json!({ "on_duplicate": "update", "locale": "de", "requests_per_second": 7 });
        let expected: Settings = serde_json::from_value(good.clone()).unwrap();
        let with = |key: &str, value: Value| {
            let mut stored = good.clone();
            stored[key] = value;
            stored
        };
        // A later version's value, a later version's setting, another type, null.
        for (key, value, is_named) in [
            ("unknown_members", json!("quarantine"), true),
            ("welcome", json!(null), true),
            ("mails_per_minute", json!(-1), true),
            ("mails_per_minute", json!("60"), true),
            ("users_max", json!(0), true),
            ("mail_sender", json!({ "address": "a@acme.example" }), true),
            ("brand_colour", json!("blue"), true),
            ("of_a_later_version", json!([1, { "a": "b" }]), false),
        ] {
            let (settings, unreadable) = read(&with(key, value.clone()));
            assert_eq!(settings, expected, "{key}={value}");
            assert_eq!(unreadable.contains(&key.to_owned()), is_named, "{key}={value}");
        }
        let (settings, unreadable) = read(&with("on_duplicate", json!("merge")));
        assert_eq!((settings.on_duplicate, settings.mail.locale), (OnDuplicate::Conflict, Locale::De));
        assert_eq!(unreadable, ["on_duplicate"]);
    }

    #[test]
    fn any_value_of_any_setting_is_tolerated() {
        let limits = LIMITS.iter().map(|row| row.key);
        for key in DESCRIBED.iter().map(|(key, _)| *key).chain(limits) {
            for odd in [json!(null), json!(true), json!([]), json!({}), json!(1.5), json!("\u{1}")] {
                let mut stored = json!({ "locale": "fr" });
                stored[key] = odd.clone();
                let (settings, unreadable) = read(&stored);
                let locale = if key == "locale" { Locale::En } else { Locale::Fr };
                assert_eq!(settings.mail.locale, locale, "{key}={odd}");
                assert!(unreadable.len() <= 1, "{key}={odd}: {unreadable:?}");
            }
        }
    }

    #[test]
    fn a_value_that_is_not_an_object_gives_all_defaults() {
        for odd in [json!(null), json!([]), json!("locale=de"), json!(1)] {
            assert_eq!(read(&odd), (Settings::default(), vec!["all".to_owned()]));
        }
        assert_eq!(read(&json!({})), (Settings::default(), Vec::new()));
    }

    #[test]
    fn a_warning_is_logged_once_per_change() {
        let tenant = Uuid::from_u128(0x46);
        let (one, other) = (json!({ "locale": 1 }), json!({ "locale": 2 }));
        let news: Vec<bool> = [&one, &one, &other, &one].map(|stored| is_news(tenant, stored)).into();
        assert_eq!(news, [true, false, true, true]);
    }
}

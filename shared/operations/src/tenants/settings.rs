//! A tenant's settings as `KEY=VALUE`, typed by `domain::settings`. They are stored in the column `tenants.settings`.

use domain::settings::{LIMITS, LimitRow, Settings};
use serde_json::{Map, Value};

use crate::Error;

/// All settings with their values, including defaults.
pub fn shown(settings: &Settings) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(settings)) => settings,
        // A struct of plain values is always an object.
        _ => Map::new(),
    }
}

/// The stored settings with these changes. Keys that this version does not know are kept.
pub fn changed(stored: Value, changes: &[String]) -> Result<Value, Error> {
    let mut settings = match stored {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    let known = shown(&Settings::default());
    for change in changes {
        let Some((key, value)) = change.split_once('=') else {
            return Err(Error::Invalid(format!("{change} must be KEY=VALUE, such as locale=de")));
        };
        if !known.contains_key(key) {
            let all: Vec<&str> = known.keys().map(String::as_str).collect();
            return Err(Error::Invalid(format!("unknown setting {key}; must be one of: {}", all.join(", "))));
        }
        let typed = match known[key].is_number() {
            true => Value::from(value.parse::<u32>().map_err(|_| {
                Error::Invalid(format!("{key} must be a whole number from 0 to {}", u32::MAX))
            })?),
            false => Value::from(value),
        };
        settings.insert(key.to_owned(), typed.clone());
        // Validated alone, because other stored values may be from a later version.
        let alone = Map::from_iter([(key.to_owned(), typed)]);
        if let Err(error) = serde_json::from_value::<Settings>(alone.into()) {
            let said = error.to_string();
            let choice = said.strip_prefix("unknown variant").and_then(|said| said.split_once(", expected "));
            return Err(Error::Invalid(match choice {
                Some((_, choice)) => format!("{key} must be {choice}"),
                None => match LIMITS.iter().find(|row| row.key == key) {
                    Some(LimitRow { least, most, .. }) => {
                        format!("{key} must be a whole number from {least} to {most}")
                    }
                    None => format!("invalid value for {key}: {said}"),
                },
            }));
        }
    }
    Ok(Value::Object(settings))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(stored: Value, changes: &[&str]) -> Result<Value, String> {
        let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
        changed(stored, &changes).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_change_keeps_the_other_stored_settings() {
        let stored = json!({ "of_a_later_version": 1 });
        let expected = json!({ "of_a_later_version": 1, "unknown_members": "skip" });
        assert_eq!(change(stored, &["unknown_members=skip"]), Ok(expected));
        assert_eq!(shown(&Settings::default())["unknown_members"], "reject");
        // A value of a later version is kept and does not block other changes.
        let expected = json!({ "on_duplicate": "merge", "locale": "de" });
        assert_eq!(change(json!({ "on_duplicate": "merge" }), &["locale=de"]), Ok(expected));
        assert_eq!(
            change(json!({ "locale": 7 }), &["locale=de"]),
            Ok(json!({ "locale": "de" })),
            "an invalid stored value can be corrected"
        );
        let numbers = change(json!({}), &["requests_per_second=25"]);
        assert_eq!(numbers, Ok(json!({ "requests_per_second": 25 })));
        let mail = change(json!({ "locale": "fr" }), &["mail_sender=Acme <a@acme.example>", "locale=de"]);
        assert_eq!(mail, Ok(json!({ "mail_sender": "Acme <a@acme.example>", "locale": "de" })));
        assert_eq!(
            change(json!({ "brand_name": "Acme" }), &["brand_name="]),
            Ok(json!({ "brand_name": "" }))
        );
    }

    #[test]
    fn an_invalid_change_is_rejected_with_the_valid_values() {
        for (wrong, words) in [
            ("members=skip", ["members", "unknown_members"]),
            ("unknown_members=perhaps", ["must be `reject`", "`skip`"]),
            ("unknown_members", ["unknown_members", "KEY=VALUE"]),
            ("requests_per_second=many", ["requests_per_second", "whole number"]),
            ("requests_per_second=-1", ["requests_per_second", "whole number"]),
            ("requests_per_second=1.5", ["requests_per_second", "whole number"]),
            ("requests_per_second=", ["requests_per_second", "whole number"]),
            ("requests_per_second=null", ["requests_per_second", "whole number"]),
            ("users_max=0", ["users_max", "from 1 to 100000000"]),
            ("mails_per_minute=4294967295", ["mails_per_minute", "from 0 to 1000000"]),
            ("mail_sender=nobody", ["mail_sender", "a mail address"]),
            ("brand_logo=http://acme.example/l.png", ["brand_logo", "https"]),
            ("brand_colour=blue", ["brand_colour", "#1f5fd6"]),
            ("locale=it", ["locale", "`de`"]),
            ("assignment_mail=never", ["assignment_mail", "`digest`"]),
            ("welcome=scim", ["welcome", "`manual`"]),
            ("learning_url=acme", ["learning_url", "https"]),
        ] {
            let said = change(json!({}), &[wrong]).unwrap_err();
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
    }
}

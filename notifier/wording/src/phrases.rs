//! The phrases of a language. Each is a small template without markup that a tenant can replace.

use std::collections::BTreeMap;

use domain::settings::Locale;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::calendar::Calendar;

/// The phrases that every language has.
pub const KEYS: [&str; 23] = [
    "subject_welcome",
    "subject_one",
    "subject_several",
    "hello",
    "welcome",
    "account_made",
    "user_name",
    "sign_in",
    "assigned_lesson",
    "assigned_path",
    "assigned_several",
    "digest",
    "and_more",
    "due",
    "start_lesson",
    "start_path",
    "open_link",
    "because_account",
    "because_assigned",
    "unsubscribe",
    "your_company",
    "colon",
    "date",
];

/// The phrases of one language.
#[derive(Clone, Debug)]
pub struct Phrases {
    /// The phrases by key; holds all of [`KEYS`].
    pub texts: BTreeMap<String, String>,
    /// The names of days and months.
    pub calendar: Calendar,
}

/// The name of a language's phrase file.
pub fn file(locale: Locale) -> String {
    format!("words.{}.json", locale.as_str())
}

/// Merges the phrases of several files; later files override earlier ones.
///
/// # Errors
/// Describes the problem in the last file.
pub fn read<'a>(files: impl Iterator<Item = &'a str>) -> Result<Phrases, String> {
    let mut all = Map::new();
    for file in files {
        let phrases: Map<String, Value> = serde_json::from_str(file).map_err(|e| e.to_string())?;
        let known = |key: &str| KEYS.contains(&key) || matches!(key, "weekdays" | "months");
        if let Some(key) = phrases.keys().find(|key| !known(key)) {
            return Err(format!(
                "unknown phrase {key}; valid phrases: {}, weekdays, months",
                KEYS.join(", ")
            ));
        }
        all.extend(phrases);
    }
    #[derive(Deserialize)]
    struct File {
        #[serde(flatten)]
        calendar: Calendar,
        #[serde(flatten)]
        texts: BTreeMap<String, Value>,
    }
    let file: File = serde_json::from_value(Value::Object(all)).map_err(|e| e.to_string())?;
    let text = |key: &str| match file.texts.get(key) {
        Some(Value::String(text)) => Ok((key.to_owned(), text.clone())),
        _ => Err(format!("the phrase {key} must be a string")),
    };
    Ok(Phrases { texts: KEYS.into_iter().map(text).collect::<Result<_, _>>()?, calendar: file.calendar })
}

//! A language's phrases: each a small template without markup; a company may replace some of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use shared::settings::Locale;

use crate::calendar::Calendar;

/// The phrases that every language has, in no mail's particular order.
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
    /// By their keys: all of [`KEYS`].
    pub texts: BTreeMap<String, String>,
    /// Its days and months.
    pub calendar: Calendar,
}

/// The name of a language's file.
pub fn file(locale: Locale) -> String {
    format!("words.{}.json", locale.as_str())
}

/// The phrases of these files, of which the later ones replace phrases of the earlier ones.
///
/// # Errors
/// Says what is wrong with the last of them.
pub fn read<'a>(files: impl Iterator<Item = &'a str>) -> Result<Phrases, String> {
    let mut all = Map::new();
    for file in files {
        let phrases: Map<String, Value> = serde_json::from_str(file).map_err(|e| e.to_string())?;
        let known = |key: &str| KEYS.contains(&key) || matches!(key, "weekdays" | "months");
        if let Some(key) = phrases.keys().find(|key| !known(key)) {
            return Err(format!("there is no phrase {key}; there is: {}, weekdays, months", KEYS.join(", ")));
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
        _ => Err(format!("the phrase {key} must be a text")),
    };
    Ok(Phrases { texts: KEYS.into_iter().map(text).collect::<Result<_, _>>()?, calendar: file.calendar })
}

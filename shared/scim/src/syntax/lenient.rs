//! Tolerances in syntax, for clients that deviate from RFC 7643 and RFC 7644. Each one names the client that needs it
//! and the clause that it relaxes. The rest of the engine calls these functions and contains no client names.
//!
//! | tolerance | client | clause relaxed |
//! |---|---|---|
//! | [`literal`]: `True` in a filter | Entra ID | RFC 7644 §3.4.2.2, figure 1 |
//! | [`is_word`]: `op` with a capital, `Replace` | Entra ID | RFC 7644 §3.5.2 |
//! | [`path_of_key`]: the keys of a value without a path are themselves paths | Entra ID | RFC 7644 §3.5.2.1 |
//! | [`described`]: `emails[type eq "work"].value` creates the value it describes | Entra ID | RFC 7644 §3.5.2.3 |
//! | [`narrowed`]: `emails[type eq "work"].value eq "x"` as a filter | Entra ID | RFC 7644 §3.4.2.2, figure 1 |
//! | [`path`]: an empty `path` means no path | clients that write every field of an operation | RFC 7644 §3.5.2 |
//! | `urn`: URNs of SCIM drafts and SCIM 1.1 in `schemas` and paths | OneLogin, SCIM 1.1 clients | RFC 7643 §10.3 |
//! | `urn::after_urn`: `URN.attr` beside `URN:attr` | Entra ID | RFC 7644 §3.10 |
//! | `schema::resolve`: an extension's attribute without its URN, `department` | Entra ID, others | RFC 7644 §3.10 |
//! | [`is_method`]: the method of a bulk operation in lower case | names from HTTP libraries | RFC 7644 §3.7 |
//! | [`below_base`]: the path of a bulk operation with the base URL in front | copied full URLs | RFC 7644 §3.7 |
//! | [`holds_ids`]: `bulkId:x` as a bare manager or member | Entra ID's notation | RFC 7644 §3.7.2 |
//! | [`names`], [`integer`]: lists, numbers as strings in a SearchRequest | reused query strings | RFC 7644 §3.4.3 |
//!
//! `value::lenient` lists the tolerances for values.
//!
//! The grammar itself contains two more: `not(` without a space, which many clients send, and `$ref`, which RFC 7643
//! §2.4 defines but figure 1 of RFC 7644 omits.

use serde_json::Value;

use super::{CompareOp, Filter, Path};
use crate::json::is_large_integer;

/// A literal of a filter (RFC 7644 §3.4.2.2, figure 1): Entra ID writes `True` and `False` there too. An integer that
/// does not fit 64 bits is kept as its digits, as in `parse_json`.
pub(crate) fn literal(word: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(&word.to_ascii_lowercase()).ok()?;
    match value.as_f64().filter(|read| value.is_f64() && is_large_integer(word, *read)) {
        Some(_) => Some(Value::from(word)),
        None => Some(value),
    }
}

/// Compares keywords without regard to case: Entra ID writes `Add`, `Replace`, `Remove` (RFC 7644 §3.5.2).
pub(crate) fn is_word(given: &str, word: &str) -> bool {
    given.eq_ignore_ascii_case(word)
}

/// The path of an operation. An empty path means no path: some clients write every field (RFC 7644 §3.5.2 omits `path`
/// instead).
pub(crate) fn path(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Parses a key of a value without a path as a path: Entra ID sends `name.givenName`, `URN:attr` and
/// `emails[type eq "work"].value` there (RFC 7644 §3.5.2.1 has only attribute names).
pub(crate) fn path_of_key(key: &str) -> Option<Path> {
    Path::parse(key).ok()
}

/// The attribute values that a filter made only of `eq` and `and` requires. Entra ID replaces
/// `emails[type eq "work"].value` of users without such an address, and expects it to be created (RFC 7644 §3.5.2.3:
/// `noTarget`).
pub(crate) fn described(filter: &Filter) -> Option<Vec<(&str, &Value)>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Equal, value } => Some(vec![(path.as_str(), value)]),
        Filter::And(items) => {
            items.iter().try_fold(Vec::new(), |terms, item| Some([terms, described(item)?].concat()))
        }
        _ => None,
    }
}

/// Rewrites `emails[type eq "work"].value eq "x"`, which Entra ID sends and figure 1 of RFC 7644 does not allow, to
/// `emails[type eq "work" and value eq "x"]`.
pub(crate) fn narrowed(filter: Filter, comparison: Filter) -> Filter {
    match filter {
        Filter::And(mut items) => {
            items.push(comparison);
            Filter::And(items)
        }
        filter => Filter::And(vec![filter, comparison]),
    }
}

/// Compares the method of a bulk operation without regard to case: some clients copy the lower-case name of their HTTP
/// library (RFC 7644 §3.7 has capitals).
pub fn is_method(given: &str, method: &str) -> bool {
    is_word(given, method)
}

/// The path of a bulk operation relative to the base URL. Some clients send the full URL or path of the equivalent
/// request (RFC 7644 §3.7 requires a relative path).
pub fn below_base<'p>(path: &'p str, base_url: &str, base_path: &str) -> &'p str {
    path.strip_prefix(base_url).or_else(|| path.strip_prefix(base_path)).unwrap_or(path)
}

/// Whether the value of a key may refer to another bulk operation: `value` and `$ref` (RFC 7643 §2.4), and a manager or
/// member given as a bare id, which is accepted elsewhere too (RFC 7644 §3.7.2).
pub fn holds_ids(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["value", "$ref", "members", "manager"].iter().any(|name| key.ends_with(name))
}

/// Attribute names as a list, or as comma-separated text as in a query string (RFC 7644 §3.4.3 requires a list).
pub(crate) fn names(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(names) => {
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            names.map(|names| names.join(","))
        }
        _ => None,
    }
}

/// An integer, also as text as in a query string (RFC 7644 §3.4.3 requires an integer). A number outside 64 bits, which
/// the JSON parser reads as a float, saturates.
pub(crate) fn integer(text: &str) -> Option<i64> {
    const BEYOND: f64 = 9.2e18;
    let text = text.trim();
    // Rejects "inf".
    let is_number = |text: &&str| text.ends_with(|c: char| c.is_ascii_digit());
    text.parse::<i64>().ok().or_else(|| match Some(text).filter(is_number)?.parse::<f64>().ok()? {
        large if large > BEYOND => Some(i64::MAX),
        small if small < -BEYOND => Some(i64::MIN),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_and_keywords_are_case_insensitive() {
        for (text, value) in
            [("True", Some(true)), ("FALSE", Some(false)), ("false", Some(false)), ("yes", None), ("", None)]
        {
            assert_eq!(crate::value::as_boolean(&Value::from(text)), value, "{text}");
        }
        assert!(is_word("Replace", "replace") && !is_word("move", "replace"));
    }

    #[test]
    fn integers_and_names_are_accepted_as_text() {
        for (text, number) in [
            ("7", Some(7)),
            (" -7 ", Some(-7)),
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("1.8446744073709552e19", Some(i64::MAX)),
            ("inf", None),
            ("", None),
            ("1.5", None),
        ] {
            assert_eq!(integer(text), number, "{text}");
        }
        assert_eq!(names(&serde_json::json!(["a", "b"])), Some("a,b".to_owned()));
        assert_eq!(names(&serde_json::json!(["a", 7])), None);
    }
}

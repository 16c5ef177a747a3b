//! Where clients speak otherwise than RFC 7643 and RFC 7644 say, and are understood all the same: the decisions, each by
//! the client that needs it and the clause that it leaves. The engine asks here and knows no client's name.
//!
//! | tolerance | client | clause left |
//! |---|---|---|
//! | [`boolean`]: booleans as strings, `"False"` | Entra ID | RFC 7643 §2.3.2 |
//! | [`literal`]: `True` in a filter | Entra ID | RFC 7644 §3.4.2.2, figure 1 |
//! | [`is_word`]: `op` with a capital, `Replace` | Entra ID | RFC 7644 §3.5.2 |
//! | [`path_of_key`]: keys of a value without a path are paths themselves | Entra ID | RFC 7644 §3.5.2.1 |
//! | [`after_urn`]: `URN.attr` beside `URN:attr` | Entra ID | RFC 7644 §3.10 |
//! | [`values`]: single values in a list of one, `{"value": …}` for a value without parts, a bare `manager`, `{}` for none | Entra ID | RFC 7643 §2.2, §4.3 |
//! | [`values`]: dateTimes without a zone | clients that follow `xsd:dateTime` | RFC 7643 §2.3.5, RFC 3339 |
//! | [`numbers`]: numbers as text, `3.0` for an integer, a number for a text | clients whose fields have another type | RFC 7643 §2.3 |
//! | [`listed`]: a remove with a list of values removes only those | Entra ID | RFC 7644 §3.5.2.2 |
//! | [`described`]: `emails[type eq "work"].value` makes what it describes | Entra ID | RFC 7644 §3.5.2.3 |
//! | [`narrowed`]: `emails[type eq "work"].value eq "x"` as a filter | Entra ID | RFC 7644 §3.4.2.2, figure 1 |
//! | [`Names`]: readOnly `id`, `meta` and `groups` come back at us; the path of an unknown attribute is ignored, as it is in a body | Okta, Entra ID | RFC 7644 §3.5.2 |
//! | [`is_unassigned`]: attributes pushed as `""` | Okta | RFC 7643 §2.5 |
//! | [`path`]: an empty `path` is none | clients that write every field of an operation | RFC 7644 §3.5.2 |
//! | [`elements`]: a single value for a list of one | clients with one value to tell | RFC 7643 §2.4 |
//! | [`urns`]: the URNs of SCIM's drafts and of SCIM 1.1, in `schemas` and wherever a path begins with one | OneLogin, SCIM 1.1 clients | RFC 7643 §10.3 |
//! | [`unqualified`]: an extension's attribute without its URN, `department` | Entra ID, connectors that write plain names | RFC 7644 §3.10 |
//! | [`compared_part`]: `emails co "x"` for `emails.value co "x"` | the RFC's own examples | RFC 7644 §3.4.2.2 |
//! | [`is_method`]: the method of a bulk operation in any case | clients that hand on their HTTP library's word | RFC 7644 §3.7 |
//! | [`below_base`]: the path of a bulk operation with the base in front | clients that hand on their request's URL | RFC 7644 §3.7 |
//! | [`holds_ids`]: `bulkId:x` as a bare manager or member | Entra ID's way to name them | RFC 7644 §3.7.2 |
//! | [`names`], [`integer`]: lists as text, numbers as strings in a SearchRequest | clients that reuse their query strings | RFC 7644 §3.4.3 |
//!
//! Two more stand in the grammar itself, where they are a matter of a character: `not(` without a space, which many clients
//! send, and `$ref`, which RFC 7643 §2.4 has and figure 1 of RFC 7644 has not.

pub(super) mod numbers;
pub(super) mod urns;
pub(super) mod values;

use serde_json::Value;

use super::filter::{CompareOp, Filter};
use super::path::Path;
use super::schema::{Attribute, ResourceType, Schema};

/// What to do about an attribute that is readOnly or unknown. Unknown ones are ignored: Entra ID sends each attribute that an
/// admin has mapped in an operation of its own, and the others must not fail for it (RFC 7644 §3.5.2: `invalidPath`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// The client named it as its target: an error if it is readOnly (RFC 7644 §3.5.2), told if it is unknown.
    Explicit,
    /// It came along in a larger value: ignored. Okta sends the readOnly `id` when it renames a group, and our whole
    /// representation when it updates a user; and a user's unknown attributes are theirs to have.
    Incidental,
}

/// A boolean sent as text: Entra ID writes `"True"` and `"False"` (RFC 7643 §2.3.2 has JSON's literals).
pub(super) fn boolean(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word))
        .map(|(_, value)| value)
}

/// A literal of a filter (RFC 7644 §3.4.2.2, figure 1): Entra ID writes `True` and `False` there too. An integer beyond 64
/// bits is its digits, as `parse_json` has it.
pub(super) fn literal(word: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(&word.to_ascii_lowercase()).ok()?;
    match value.as_f64().filter(|read| value.is_f64() && numbers::is_large_integer(word, *read)) {
        Some(_) => Some(Value::from(word)),
        None => Some(value),
    }
}

/// Whether the word is this one, whatever its case: Entra ID writes `Add`, `Replace`, `Remove` (RFC 7644 §3.5.2).
pub(super) fn is_word(given: &str, word: &str) -> bool {
    given.eq_ignore_ascii_case(word)
}

/// The path of an operation; an empty one is none, as clients mean that write every field (RFC 7644 §3.5.2 has `path`
/// left out).
pub(super) fn path(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A key of a value without a path, as the path that it is: Entra ID sends `name.givenName`, `URN:attr` and
/// `emails[type eq "work"].value` there (RFC 7644 §3.5.2.1 knows names of attributes).
pub(super) fn path_of_key(key: &str) -> Option<Path> {
    Path::parse(key).ok()
}

/// Whether a path begins with a URN.
pub(super) fn is_urn(path: &str) -> bool {
    path.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

/// What follows a schema's URN in a path, without the separator: Entra ID writes `URN.attr` (RFC 7644 §3.10 has a colon).
pub(super) fn after_urn(rest: &str) -> Option<&str> {
    rest.strip_prefix([':', '.'])
}

/// The extension that an attribute's name without a URN is taken for: Entra ID and others send `department` so (RFC 7644
/// §3.10 has the URN for all but core attributes). None if the name is one of the core schema, or if several have it.
pub(super) fn unqualified<'a>(resource_type: &'a ResourceType, name: &str) -> Option<&'a Schema> {
    let mut owners = resource_type.extensions.iter().filter(|schema| schema.attribute(name).is_some());
    let owner = owners.next()?;
    let is_core = resource_type.core_attributes().any(|core| core.name.eq_ignore_ascii_case(name));
    (!is_core && owners.next().is_none()).then_some(owner)
}

/// The values of a multi-valued attribute; a single one stands for a list of one, as clients mean that have one value to
/// tell (RFC 7643 §2.4 has a list).
pub(super) fn elements(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) => elements,
        single => std::slice::from_ref(single),
    }
}

/// The values that a remove is about, if it lists any: Entra ID removes members so, and means only those (RFC 7644
/// §3.5.2.2 has no `value` in a remove, and would remove all).
pub(super) fn listed(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

/// What a value filter says of the value that it looks for, if it is nothing but `eq` joined by `and`: Entra ID replaces
/// `emails[type eq "work"].value` of users who have no such address, and expects it to be made (RFC 7644 §3.5.2.3:
/// `noTarget`).
pub(super) fn described(filter: &Filter) -> Option<Vec<(&str, &Value)>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Equal, value } => Some(vec![(path.as_str(), value)]),
        Filter::And(items) => {
            items.iter().try_fold(Vec::new(), |terms, item| Some([terms, described(item)?].concat()))
        }
        _ => None,
    }
}

/// `emails[type eq "work"].value eq "x"`, which Entra ID sends and figure 1 of RFC 7644 does not have, says the same as
/// `emails[type eq "work" and value eq "x"]`.
pub(super) fn narrowed(filter: Filter, comparison: Filter) -> Filter {
    match filter {
        Filter::And(mut items) => {
            items.push(comparison);
            Filter::And(items)
        }
        filter => Filter::And(vec![filter, comparison]),
    }
}

/// Which part of a complex value is compared: `emails co "x"` is short for `emails.value co "x"`, as in the examples of
/// RFC 7644 §3.4.2.2 itself.
pub(crate) fn compared_part(attribute: &Attribute) -> Option<&Attribute> {
    attribute.sub_attribute("value")
}

/// Whether the text means no value: Okta pushes attributes without a value as `""` (RFC 7643 §2.5 knows null and []).
pub(super) fn is_unassigned(text: &str) -> bool {
    text.is_empty()
}

/// Whether the word of a bulk operation is this method: some hand on what their HTTP library calls it, `post` (RFC 7644 §3.7
/// has capitals).
pub fn is_method(given: &str, method: &str) -> bool {
    is_word(given, method)
}

/// The path of a bulk operation relative to the base, of which a client that hands on its own requests' URL or path has
/// one in front (RFC 7644 §3.7: relative).
pub fn below_base<'p>(path: &'p str, base_url: &str, base_path: &str) -> &'p str {
    path.strip_prefix(base_url).or_else(|| path.strip_prefix(base_path)).unwrap_or(path)
}

/// Whether a key's text may be a reference to another bulk operation: `value` and `$ref` (RFC 7643 §2.4), and a manager or
/// member named by a bare id, as they are taken elsewhere (RFC 7644 §3.7.2).
pub fn holds_ids(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["value", "$ref", "members", "manager"].iter().any(|name| key.ends_with(name))
}

/// Attributes by name: a list, or one text with commas as in a query string (RFC 7644 §3.4.3 has a list).
pub(super) fn names(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(names) => {
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            names.map(|names| names.join(","))
        }
        _ => None,
    }
}

/// An integer, also as text as in a query string (RFC 7644 §3.4.3 has an integer). One beyond 64 bits is as good as the
/// largest or smallest, however it is written: JSON's reader makes a float of it.
pub(super) fn integer(text: &str) -> Option<i64> {
    const BEYOND: f64 = 9.2e18;
    let text = text.trim();
    // Not "inf".
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
    fn booleans_and_words_come_in_any_case() {
        for (text, value) in
            [("True", Some(true)), ("FALSE", Some(false)), ("false", Some(false)), ("yes", None), ("", None)]
        {
            assert_eq!(boolean(text), value, "{text}");
        }
        assert!(is_word("Replace", "replace") && !is_word("move", "replace"));
    }

    #[test]
    fn numbers_and_names_are_taken_as_text() {
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

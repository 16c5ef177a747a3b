//! Random resources with a small vocabulary, so that filters match, and their extension schemas.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use scim::schema::Schema;
use scim::{ENTERPRISE_URN, Group, Resource, Types};
use serde_json::{Map, Value, json};

use super::roster::Kind;

/// The URNs of the registered schemas.
pub const EXTENSION: &str = "urn:example:params:scim:schemas:extension:odd:2.0:User";
pub const GROUP_EXTENSION: &str = "urn:example:params:scim:schemas:extension:odd:2.0:Group";

/// Strings that are easily confused: by case, by case folding, by their meaning in SQL, patterns or JSON.
const WORDS: &[&str] = &[
    "a",
    "A",
    "b",
    "ab",
    "aB",
    "abc",
    "ß",
    "ẞ",
    "ss",
    "SS",
    "ς",
    "Σ",
    "σ",
    "İ",
    "i",
    "ı",
    "I",
    "K",
    "k",
    "é",
    "e\u{301}",
    "%",
    "_",
    "a_c",
    "\\",
    "\\%",
    "'",
    "''",
    "\"",
    "\"a\"",
    "$v",
    "$1",
    "?",
    "{}",
    "[]",
    "null",
    "true",
    "False",
    "12",
    "-1.5",
    ".",
    "^a",
    "漢",
    "😀",
    "\u{d7ff}",
    "\u{e000}",
    "\u{10ffff}",
    " ",
    "\t",
    "\n",
    "/*",
    "--",
    "User",
    "direct",
    "work",
    "home",
];
pub const TYPES: &[&str] = &["work", "Work", "home", "other"];
pub const NUMBERS: &[f64] =
    &[0.0, -0.0, 1.0, 1.5, -1.5, 2.0, 12.0, 0.1, 1e300, -1e300, 5e-324, 9_007_199_254_740_992.0];
pub const INTEGERS: &[i64] =
    &[0, 1, 2, -1, 12, 9_007_199_254_740_992, 9_007_199_254_740_993, i64::MAX, i64::MIN];

/// The resource types, each with an extension that has attributes of all types.
pub fn types() -> Types {
    let attribute =
        |name: &str, kind: &str, exact: bool| json!({ "name": name, "type": kind, "caseExact": exact });
    let many = |mut attribute: Value| {
        attribute["multiValued"] = json!(true);
        attribute
    };
    let parts = json!([
        attribute("value", "string", false),
        attribute("type", "string", true),
        attribute("primary", "boolean", false),
        attribute("level", "integer", false),
        attribute("since", "dateTime", false),
    ]);
    let complex = |name: &str| json!({ "name": name, "type": "complex", "subAttributes": parts });
    let mut asked_for = attribute("hidden", "string", false);
    asked_for["returned"] = json!("request");
    let schema = |urn: &str| {
        let definition = json!({ "id": urn, "name": "Odd", "description": "", "attributes": [
            attribute("nick", "string", false), attribute("code", "string", true), attribute("score", "decimal", false),
            attribute("level", "integer", false), attribute("remote", "boolean", false), attribute("since", "dateTime", false),
            attribute("data", "binary", true), many(attribute("tags", "string", false)), many(attribute("levels", "integer", false)),
            many(attribute("days", "dateTime", false)), many(complex("badges")), complex("seat"), asked_for,
        ] });
        Schema::parse(&definition).unwrap()
    };
    Types::with([("User", schema(EXTENSION)), ("Group", schema(GROUP_EXTENSION))]).unwrap()
}

/// A generated resource without an id.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub resource: Resource,
    /// Indexes of users.
    pub members: Vec<usize>,
    pub version: i64,
    pub created: i64,
    pub modified: i64,
}

/// A resource whose name ends with its number.
pub fn resource(kind: Kind, number: usize) -> BoxedStrategy<Drawn> {
    let body = match kind {
        Kind::User => user(number).boxed(),
        Kind::Group => group().boxed(),
    };
    let types = types();
    (body, vec(0..150_usize, 0..12), 1..12_i64, 0..4_i64, 0..4_i64)
        .prop_filter_map("a valid body", move |(body, members, version, created, modified)| {
            let resource = match kind {
                Kind::User => Resource::parse(&types.user, &body).ok()?,
                Kind::Group => Group::parse(&types.group, &body).ok()?.resource,
            };
            Some(Drawn { resource, members, version, created, modified })
        })
        .boxed()
}

pub fn text() -> BoxedStrategy<String> {
    prop_oneof![4 => word(), 1 => (word(), word()).prop_map(|(one, other)| one + &other)].boxed()
}

fn word() -> BoxedStrategy<String> {
    select(WORDS).prop_map(str::to_owned).boxed()
}

/// An object in which each member is optional.
fn members(members: Vec<(&str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let members = members.into_iter().map(|(name, value)| {
        let name = name.to_owned();
        of(value).prop_map(move |value| value.map(|value| (name.clone(), value))).boxed()
    });
    let members: Vec<BoxedStrategy<Option<(String, Value)>>> = members.collect();
    members.prop_map(|members| Value::Object(members.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

pub fn value<T: std::fmt::Debug + Into<Value> + 'static>(
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Value> {
    strategy.prop_map(Into::into).boxed()
}

/// A list of values, at most one of them primary.
fn plural(value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let element = members(vec![
        ("value", value),
        ("display", self::value(text())),
        ("type", self::value(select(TYPES))),
    ]);
    (vec(element, 0..4), of(0..4_usize), any::<bool>())
        .prop_map(|(mut elements, primary, says_no)| {
            elements.retain(|element| element.get("value").is_some());
            for (position, element) in elements.iter_mut().enumerate() {
                if Some(position) == primary {
                    element["primary"] = json!(true);
                } else if says_no {
                    element["primary"] = json!(false);
                }
            }
            Value::Array(elements)
        })
        .boxed()
}

fn user(number: usize) -> impl Strategy<Value = Value> {
    let word = || value(text());
    let address = members(vec![("locality", word()), ("country", word()), ("type", value(select(TYPES)))]);
    let manager = members(vec![("value", word()), ("displayName", word())]);
    let attributes = members(vec![
        ("externalId", word()),
        ("displayName", word()),
        ("title", word()),
        ("profileUrl", word()),
        ("active", value(any::<bool>())),
        ("phoneNumbers", plural(word())),
        ("ims", plural(word())),
        ("x509Certificates", plural(value(select(vec!["YQ==", "YWI=", "QUI="])))),
        ("addresses", vec(address, 0..3).prop_map(Value::Array).boxed()),
        (ENTERPRISE_URN, members(vec![("department", word()), ("costCenter", word()), ("manager", manager)])),
        (EXTENSION, odd()),
    ]);
    let emails = plural(word());
    (attributes, text(), text(), text(), emails).prop_map(move |(mut user, name, given, family, emails)| {
        user["userName"] = json!(format!("{name}{number}"));
        user["name"] = json!({ "givenName": format!("{given}."), "familyName": format!("{family}.") });
        user["emails"] = emails;
        user
    })
}

fn group() -> impl Strategy<Value = Value> {
    let attributes = members(vec![("externalId", value(text())), (GROUP_EXTENSION, odd())]);
    (attributes, text()).prop_map(|(mut group, name)| {
        group["displayName"] = json!(name);
        group
    })
}

/// The attributes of the registered schemas.
fn odd() -> BoxedStrategy<Value> {
    let word = || value(text());
    let instant = || {
        value(select(vec![
            "2026-01-01T00:00:00Z",
            "2026-01-01T01:00:00.001+01:00",
            "2025-12-31T23:59:59.9999999Z",
        ]))
    };
    let integer = || value(select(INTEGERS));
    let part = || {
        let level = integer();
        members(vec![
            ("value", word()),
            ("type", value(select(TYPES))),
            ("level", level),
            ("since", instant()),
        ])
    };
    members(vec![
        ("nick", word()),
        ("code", word()),
        ("score", value(select(NUMBERS))),
        ("level", integer()),
        ("remote", value(any::<bool>())),
        ("since", instant()),
        ("data", value(select(vec!["YQ==", "YWI=", "QUI="]))),
        ("tags", vec(word(), 0..4).prop_map(Value::Array).boxed()),
        ("levels", vec(integer(), 0..3).prop_map(Value::Array).boxed()),
        ("days", vec(instant(), 0..3).prop_map(Value::Array).boxed()),
        ("badges", vec(part(), 0..3).prop_map(Value::Array).boxed()),
        ("seat", part()),
        ("hidden", word()),
    ])
}

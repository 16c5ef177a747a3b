//! Generators of random input: arbitrary JSON, almost valid JSON, valid bodies, filters.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{GROUP_URN, URN, USER_URN};
use crate::syntax::AttrPath;
use crate::syntax::{CompareOp, Filter, ValuePath};

/// Any JSON.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        near_word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let members = vec((prop_oneof![near_word(), ".{0,4}".boxed()], inner.clone()), 0..5);
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::Array),
            members.prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// Words that have a meaning, in unexpected positions.
fn near_word() -> BoxedStrategy<String> {
    let urn = URN.to_owned();
    let words = [
        "userName",
        "USERNAME",
        "name",
        "name.givenName",
        "givenName",
        "familyName",
        "emails",
        "value",
        "type",
        "primary",
        "active",
        "true",
        "False",
        "id",
        "meta",
        "groups",
        "roles",
        "password",
        "schemas",
        "Operations",
        "op",
        "path",
        "add",
        "Remove",
        "replace",
        "addresses",
        "manager",
        "displayName",
        "x509Certificates",
        "work",
        "emails.value",
        "$ref",
        "emails[type eq \"work\"].value",
        "emails[type eq \"work\" and primary eq true]",
        "emails[value pr]",
        "emails[",
        "phoneNumbers[not (type eq \"work\")].value",
        "roles[primary eq \"True\"].value",
        "title[value eq \"x\"]",
        "addresses[type eq \"home\"].locality",
        "urn:",
        USER_URN,
        "members",
        "Members.Value",
        "members.display",
        "members[value eq \"01900000-0000-7000-8000-000000000001\"]",
        "members[display pr or type eq \"User\"]",
        "01900000-0000-7000-8000-000000000001",
        "externalId",
        GROUP_URN,
    ];
    let addressed =
        ["", ":", ":manager", ":manager.value", ".department", ":nothing", ":manager[value eq \"x\"]"];
    prop_oneof![
        proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        proptest::sample::select(addressed.to_vec()).prop_map(move |rest| format!("{urn}{rest}")),
    ]
    .boxed()
}

/// A structurally valid PATCH operation, whose value is sometimes valid.
pub(super) fn near_operation() -> impl Strategy<Value = Value> {
    let op = proptest::sample::select(vec!["add", "Replace", "remove"]);
    let value =
        prop_oneof![any_json(), near_word().prop_map(Value::from), any::<bool>().prop_map(Value::from)];
    let operation = (op, proptest::option::of(near_word()), proptest::option::weighted(0.9, value));
    operation.prop_map(|(op, path, value)| {
        let mut operation = json!({ "op": op });
        if let Some(path) = path {
            operation["path"] = json!(path);
        }
        if let Some(value) = value {
            operation["value"] = value;
        }
        operation
    })
}

/// A structurally valid PATCH body.
pub(super) fn near_patch() -> impl Strategy<Value = Value> {
    vec(near_operation(), 1..4).prop_map(|operations| json!({ "Operations": operations }))
}

/// A body that is almost a valid User.
pub(super) fn near_user() -> impl Strategy<Value = Value> {
    vec((near_word(), any_json()), 0..4)
        .prop_map(|members| super::body(Value::Object(Map::from_iter(members))))
}

/// A valid User with `active`.
pub(super) fn user() -> impl Strategy<Value = Value> {
    let text = "[a-zA-Zåß .@-]{0,6}";
    let element = (text, text, proptest::option::of(Just(false)));
    let element = element
        .prop_map(|(value, kind, primary)| json!({ "value": value, "type": kind, "primary": primary }));
    let list = vec(element, 0..4);
    (any::<bool>(), text, list.clone(), list, proptest::option::of(text), text).prop_map(
        |(active, title, phones, ims, department, manager)| {
            super::body(json!({
                "active": active, "title": title, "phoneNumbers": phones, "ims": ims,
                (URN): { "department": department, "manager": { "displayName": manager } },
            }))
        },
    )
}

fn attr_path() -> impl Strategy<Value = AttrPath> {
    let paths =
        prop_oneof!["[a-zA-Z][a-zA-Z0-9_-]{0,6}(\\.[$]?[a-z]{1,4})?", "urn:[a-z:.0-9]{1,12}:[a-z]{1,5}"];
    paths.prop_filter_map("a path", |text| AttrPath::new(&text))
}

fn comp_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,8}".prop_filter("no U+0000", |text| !text.contains('\0')).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000..1000_i32).prop_map(|number| json!(f64::from(number) / 8.0)),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn expression() -> BoxedStrategy<Filter> {
    let op = proptest::sample::select(CompareOp::ALL.map(|(op, _)| op).to_vec());
    prop_oneof![
        3 => (attr_path(), op, comp_value()).prop_map(|(path, op, value)| Filter::Compare { path, op, value }),
        1 => attr_path().prop_map(Filter::Present),
    ]
    .boxed()
}

fn combined(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Filter::And),
            vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
    .boxed()
}

/// Any filter of the grammar, within its limits.
pub(super) fn filter() -> BoxedStrategy<Filter> {
    let value_path = (attr_path(), combined(expression()))
        .prop_map(|(path, filter)| Filter::ValuePath(ValuePath { path, filter: Box::new(filter) }));
    combined(prop_oneof![4 => expression(), 1 => value_path].boxed())
}

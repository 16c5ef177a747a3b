//! Random filters and orders for the resources of `generate`.

use database::list::Sort;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use scim::syntax::AttrPath;
use scim::syntax::{CompareOp, ValuePath};
use scim::{ENTERPRISE_URN, Filter};
use serde_json::{Value, json};

use super::generate::{EXTENSION, GROUP_EXTENSION, TYPES, text, value};
use super::roster::{BASE, Kind};

const INSTANTS: &[&str] = &[
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.001Z",
    "2026-01-01T01:00:00.002+01:00",
    "2026-01-01T00:00:00.0015Z",
    "2026-01-01T00:00:00.0010004Z",
    "2026-01-01T00:00:00.000999999Z",
    "2025-12-31T23:59:60Z",
    "0000-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999999-23:59",
    "2026-01-01T00:00:00.5-00:30",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00.001",
    "2026-01-01",
];

/// Numbers as text, and texts that are not numbers.
const AS_TEXT: &[&str] =
    &["1", "1.50", "-1.5", "12e0", "9007199254740993", "99999999999999999999", "1,5", "+1"];

/// Attribute paths: some are unknown, some can be compared only by their sub-attributes.
fn paths(kind: Kind) -> Vec<String> {
    let (own, urn): (&[&str], _) = match kind {
        Kind::User => (
            &[
                "userName",
                "USERNAME",
                "name",
                "name.givenName",
                "name.familyName",
                "name.middleName",
                "title",
                "profileUrl",
                "active",
                "emails",
                "emails.value",
                "emails.type",
                "emails.primary",
                "emails.display",
                "phoneNumbers",
                "phoneNumbers.type",
                "ims.value",
                "x509Certificates",
                "addresses",
                "addresses.locality",
                "addresses.country",
                "groups",
                "groups.value",
                "groups.display",
                "groups.$ref",
                "groups.type",
                "password",
                "roles.value",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName",
                "department",
                "manager.displayName",
                "urn:scim:schemas:extension:enterprise:1.0:department",
                "urn:scim:schemas:core:1.0:title",
            ],
            EXTENSION,
        ),
        Kind::Group => (
            &["members", "members.value", "members.display", "members.$ref", "members.type", "displayname"],
            GROUP_EXTENSION,
        ),
    };
    let common = [
        "id",
        "externalId",
        "displayName",
        "schemas",
        "meta",
        "meta.created",
        "meta.lastModified",
        "meta.lastModified",
        "meta.location",
        "meta.version",
        "meta.resourceType",
        "shoeSize",
    ];
    let odd = [
        "nick",
        "code",
        "score",
        "level",
        "remote",
        "since",
        "data",
        "tags",
        "tags.value",
        "levels",
        "days",
        "badges",
        "badges.type",
        "badges.level",
        "badges.since",
        "seat.value",
        "seat.since",
        "hidden",
    ];
    let plain = own.iter().chain(&common).map(|&path| path.to_owned());
    plain.chain(odd.iter().map(|name| format!("{urn}:{name}"))).collect()
}

fn path(paths: Vec<String>) -> impl Strategy<Value = AttrPath> {
    select(paths).prop_map(|path| AttrPath::new(&path).unwrap())
}

/// A sort order.
pub fn sort(kind: Kind) -> impl Strategy<Value = Sort> {
    (path(paths(kind)), any::<bool>()).prop_map(|(by, descending)| Sort { by, descending })
}

/// A value to compare the attribute with, usually of its type.
fn literal(path: &str) -> BoxedStrategy<Value> {
    let name = path.rsplit([':', '.']).next().unwrap_or_default().to_ascii_lowercase();
    let fitting = match name.as_str() {
        "active" | "primary" | "remote" => value(any::<bool>()),
        "created" | "lastmodified" | "since" | "days" => value(select(INSTANTS)),
        "level" | "levels" => {
            prop_oneof![4 => value(select(super::generate::INTEGERS)), 1 => value(select(AS_TEXT))].boxed()
        }
        "score" => prop_oneof![
            2 => value(select(super::generate::NUMBERS)),
            2 => value(select(super::generate::INTEGERS)),
            1 => value(select(AS_TEXT)),
        ]
        .boxed(),
        "version" => value((0..12).prop_map(|n| format!("W/\"{n}\""))),
        "location" | "$ref" => {
            value(select(vec![BASE.to_owned(), format!("{BASE}/Users/"), format!("{BASE}/Groups/0")]))
        }
        "schemas" => value(select(vec![ENTERPRISE_URN, EXTENSION, "urn:", "User"])),
        "data" | "x509certificates" => value(select(vec!["YQ==", "yq==", "Y", "="])),
        "id" | "groups" | "members" | "value" => prop_oneof![value(text()), value("[0-9a-f-]{1,3}")].boxed(),
        _ => prop_oneof![8 => value(text()), 1 => Just(json!(12)), 1 => Just(json!(-1.5))].boxed(),
    };
    let other = prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        value(any::<bool>()),
        value(select(super::generate::NUMBERS)),
        value(text())
    ];
    prop_oneof![12 => fitting, 1 => Just(Value::Null), 1 => other].boxed()
}

fn expression(paths: Vec<String>) -> BoxedStrategy<Filter> {
    let ops = CompareOp::ALL.map(|(op, _)| op);
    let compare = path(paths.clone()).prop_flat_map(move |path| {
        (Just(path.clone()), select(ops.to_vec()), literal(path.as_str()))
            .prop_map(|(path, op, value)| Filter::Compare { path, op, value })
    });
    prop_oneof![8 => compare, 1 => path(paths).prop_map(Filter::Present)].boxed()
}

fn combined(leaf: BoxedStrategy<Filter>) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Filter::And),
            vec(inner.clone(), 2..4).prop_map(Filter::Or),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
    .boxed()
}

/// A filter.
pub fn filter(kind: Kind) -> BoxedStrategy<Filter> {
    let (lists, urn): (&[&str], _) = match kind {
        Kind::User => {
            (&["emails", "emails", "phoneNumbers", "addresses", "name", "groups", "meta"], EXTENSION)
        }
        Kind::Group => (&["members", "members", "meta"], GROUP_EXTENSION),
    };
    let lists = lists.iter().map(|&list| list.to_owned()).chain([
        format!("{urn}:badges"),
        format!("{urn}:seat"),
        format!("{urn}:tags"),
    ]);
    let value_path = path(lists.collect()).prop_flat_map(|path| {
        let parts: &[&str] = match path.as_str() {
            "addresses" => &["locality", "country", "type", "primary"],
            "name" => &["givenName", "familyName"],
            "meta" => &["created", "lastModified", "version", "resourceType", "location"],
            "groups" | "members" => &["value", "display", "type", "$ref"],
            "emails" | "phoneNumbers" => &["value", "type", "value", "type", "primary", "display"],
            plain if plain.ends_with(":tags") => &["value", "value", "value", "type"],
            _ => &["value", "type", "level", "since", "primary"],
        };
        let parts: Vec<String> = parts.iter().map(|&part| part.to_owned()).collect();
        let inner = prop_oneof![combined(expression(parts.clone())), equalities(parts)];
        (Just(path), inner)
            .prop_map(|(path, filter)| Filter::ValuePath(ValuePath { path, filter: Box::new(filter) }))
    });
    combined(prop_oneof![3 => expression(paths(kind)), 1 => value_path].boxed())
}

/// As Entra ID does: several sub-attributes of one element.
fn equalities(parts: Vec<String>) -> BoxedStrategy<Filter> {
    let equality = path(parts).prop_flat_map(|path| {
        let value = match path.as_str() {
            "type" => value(select(TYPES)),
            path => literal(path),
        };
        (Just(path), value).prop_map(|(path, value)| Filter::Compare { path, op: CompareOp::Equal, value })
    });
    vec(equality, 2..4).prop_map(Filter::And).boxed()
}

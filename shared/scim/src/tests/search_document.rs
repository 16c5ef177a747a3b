//! Tests of the search document: bytewise comparison of it, as in the database, must give the results of
//! `Filter::matches` for generated resources and filters.

use proptest::prelude::*;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use crate::schema::{DataType, Resolved, Schema, Target};
use crate::syntax::AttrPath;
use crate::syntax::CompareOp;
use crate::{Filter, Record, Types, folded_instant, folded_text, search_document};

const ACME: &str = "urn:example:params:scim:schemas:extension:acme:2.0:User";

fn types() -> Types {
    let schema = json!({ "id": ACME, "attributes": [
        { "name": "hired", "type": "dateTime" },
        { "name": "seen", "type": "dateTime", "multiValued": true },
        { "name": "badge", "caseExact": true },
    ] });
    Types::with([("User", Schema::parse(&schema).unwrap())]).unwrap()
}

/// Similar texts, and texts with unusual case folding.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[abAB]{0,3}",
        "[σςΣßẞİıéÉ]{0,3}",
        ".{0,4}".prop_filter("no U+0000", |text| !text.contains('\0'))
    ]
}

fn instant() -> impl Strategy<Value = String> {
    let fraction = proptest::sample::select(vec!["", ".0", ".5", ".000000001"]);
    let offset = proptest::sample::select(vec!["Z", "+00:00", "+01:00", "-23:59", "+23:59"]);
    let year = proptest::sample::select(vec!["0000", "1969", "1970", "2026", "9999"]);
    let day = proptest::sample::select(vec!["01-01T00:00:00", "01-01T01:00:00", "12-31T23:59:59"]);
    (year, day, fraction, offset)
        .prop_map(|(year, day, fraction, offset)| format!("{year}-{day}{fraction}{offset}"))
}

fn user() -> impl Strategy<Value = Value> {
    let phones = proptest::collection::vec((text(), text()), 0..3);
    let seen = proptest::collection::vec(instant(), 0..3);
    (text(), text(), phones, text(), instant(), seen).prop_map(
        |(title, external_id, phones, department, hired, seen)| {
            let phones: Vec<Value> =
                phones.into_iter().map(|(value, kind)| json!({ "value": value, "type": kind })).collect();
            body(json!({
                "title": title, "externalId": external_id, "phoneNumbers": phones,
                (URN): { "department": department }, (ACME): { "hired": hired, "seen": seen, "badge": title },
            }))
        },
    )
}

fn comparison() -> impl Strategy<Value = (String, CompareOp, String)> {
    let paths = ["title", "externalId", "phoneNumbers.value", "phoneNumbers.type", "profileUrl"];
    let extended = [format!("{URN}:department"), format!("{ACME}:badge")];
    let texts =
        proptest::sample::select(paths.map(str::to_owned).into_iter().chain(extended).collect::<Vec<_>>());
    let instants = proptest::sample::select(vec![format!("{ACME}:hired"), format!("{ACME}:seen")]);
    let op = proptest::sample::select(CompareOp::ALL.map(|(op, _)| op).to_vec());
    prop_oneof![(texts, op.clone(), text()), (instants, op, instant())]
}

/// The values at a canonical path.
fn values<'v>(folded: &'v Value, target: &Target<'_>) -> Vec<&'v Value> {
    let elements = |value: Option<&'v Value>| match value {
        Some(Value::Array(elements)) => elements.iter().collect(),
        Some(value) => vec![value],
        None => Vec::new(),
    };
    let container = target.extension.map_or(Some(folded), |schema| folded.get(&*schema.id));
    let found: Vec<&Value> = elements(container.and_then(|container| container.get(&*target.attribute.name)));
    match target.sub {
        None => found,
        Some(sub) => found.into_iter().flat_map(|element| elements(element.get(&*sub.name))).collect(),
    }
}

fn compares(value: &str, op: CompareOp, literal: &str) -> bool {
    match op {
        CompareOp::Equal => value == literal,
        CompareOp::NotEqual => value != literal,
        CompareOp::Contains => value.contains(literal),
        CompareOp::StartsWith => value.starts_with(literal),
        CompareOp::EndsWith => value.ends_with(literal),
        CompareOp::Greater => value.as_bytes() > literal.as_bytes(),
        CompareOp::GreaterOrEqual => value.as_bytes() >= literal.as_bytes(),
        CompareOp::Less => value.as_bytes() < literal.as_bytes(),
        CompareOp::LessOrEqual => value.as_bytes() <= literal.as_bytes(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_document_compares_as_filters_do(user in user(), (path, op, literal) in comparison()) {
        let types = types();
        let resource = Resource::parse(&types.user, &user).unwrap();
        let now = OffsetDateTime::UNIX_EPOCH;
        let record = Record { id: Uuid::nil(), resource, created: now, last_modified: now, version: 1 };
        let whole = Value::Object(record.whole(&types.user, "https://acme.example/scim/v2", None));
        let filter =
            Filter::Compare { path: AttrPath::new(&path).unwrap(), op, value: Value::from(literal.clone()) };
        let Ok(expected) = filter.matches(&types.user, &whole) else { return Ok(()) };
        let Some(Resolved::Attribute(target)) = types.user.resolve(&path) else { panic!("{path}") };
        let literal = match target.leaf().data_type {
            DataType::DateTime => folded_instant(&literal).unwrap(),
            _ if target.leaf().case_exact => literal,
            _ => folded_text(&literal),
        };
        let folded = Value::Object(search_document(&types.user, &record.resource));
        let values = values(&folded, &target);
        let found = if values.is_empty() {
            op == CompareOp::NotEqual
        } else {
            values.iter().any(|value| compares(value.as_str().unwrap(), op, &literal))
        };
        prop_assert_eq!(found, expected, "{}", filter);
    }
}

//! Tests of tolerated forms of values, names and URNs that clients send and the RFCs do not define. Each is accepted in
//! POST, PUT and PATCH alike, and stored in the RFC's form.

mod lists;
mod names;
mod values;

use serde_json::json;

use super::*;
use crate::Types;
use crate::schema::Schema;

const ACME: &str = "urn:example:params:scim:schemas:extension:acme:2.0:User";

fn types() -> Types {
    let schema =
        |id: &str, attributes: Value| Schema::parse(&json!({ "id": id, "attributes": attributes })).unwrap();
    let acme = json!([
        { "name": "tags", "multiValued": true },
        { "name": "codes", "multiValued": true, "caseExact": true },
        { "name": "levels", "type": "integer", "multiValued": true },
        { "name": "level", "type": "integer" },
        { "name": "score", "type": "decimal" },
        { "name": "remote", "type": "boolean" },
        { "name": "hired", "type": "dateTime" },
        { "name": "days", "type": "dateTime", "multiValued": true },
        { "name": "shared" },
        { "name": "division" },
        { "name": "seat", "type": "complex", "subAttributes": [{ "name": "value" }, { "name": "floor", "type": "integer" }] },
    ]);
    let other = json!([{ "name": "shared" }]);
    let other_urn = "urn:example:params:scim:schemas:extension:other:2.0:User";
    Types::with([("User", schema(ACME, acme)), ("User", schema(other_urn, other))]).unwrap()
}

fn parsed(members: Value) -> Result<Resource, Error> {
    Resource::parse(&types().user, &body(members))
}

fn patched(before: &Resource, operation: Value) -> Result<Resource, Error> {
    let patch = Patch::parse(&json!({ "Operations": [operation] }))?.without_unkept(&types().user);
    // As the worker parses it.
    let travelled: Patch = serde_json::from_str(&serde_json::to_string(&patch).unwrap()).unwrap();
    assert_eq!(travelled, patch);
    travelled.apply(&types().user, before)
}

/// The results of writing an attribute by POST or PUT, and by PATCH with and without a path.
fn written(key: &str, sent: &Value) -> Vec<Result<Resource, Error>> {
    let none = parsed(json!({})).unwrap();
    let mut all = vec![parsed(json!({ key: sent }))];
    for op in ["add", "Replace"] {
        all.push(patched(&none, json!({ "op": op, "path": key, "value": sent })));
        all.push(patched(&none, json!({ "op": op, "value": { key: sent } })));
        all.push(patched(&none, json!({ "op": op, "value": [{ key: sent }] })));
    }
    all
}

#[track_caller]
fn assert_taken(key: &str, sent: Value, path: &str, expected: Value) {
    for after in written(key, &sent) {
        let after = after.unwrap_or_else(|error| panic!("{key} = {sent}: {error}"));
        let kept = after.get(path).cloned().unwrap_or_default();
        assert_eq!(kept, expected, "{key} = {sent}");
        let urns =
            if path.starts_with(URN) { json!([USER_URN, URN]) } else { after.members()["schemas"].clone() };
        assert_eq!(after.members()["schemas"], urns, "{key} = {sent}");
    }
}

#[track_caller]
fn assert_all_refused(key: &str, sent: Value, named: &str) {
    for after in written(key, &sent) {
        assert_refused(after, ScimType::InvalidValue, named);
    }
}

fn at(attribute: &str) -> String {
    format!("{URN}:{attribute}")
}

fn acme(attribute: &str) -> String {
    format!("{ACME}:{attribute}")
}

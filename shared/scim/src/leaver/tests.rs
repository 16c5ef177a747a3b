//! Test cases of the leaver rule: an invalid change is ignored beside `active: false`, and rejected on its own.

use serde_json::json;

use super::*;
use crate::{ENTERPRISE_URN, ScimType, USER_URN};

/// A user with all attributes that a case may remove.
fn stored(active: bool) -> Resource {
    let body = json!({
        "schemas": [USER_URN],
        "userName": "ann@corp.example",
        "externalId": "00u1",
        "name": { "givenName": "Ann", "familyName": "Lee", "middleName": "B." },
        "emails": [{ "value": "ann@corp.example", "type": "work", "primary": true }],
        "title": "Clerk",
        "phoneNumbers": [{ "value": "1", "type": "work" }],
        ENTERPRISE_URN: { "department": "Sales" },
        "active": active,
    });
    Resource::parse(ResourceType::user(), &body).unwrap()
}

fn patched(current: &Resource, operations: Value) -> Result<Applied, Error> {
    super::patched(&Patch::parse(&json!({ "Operations": operations }))?, ResourceType::user(), current)
}

/// The path of a PUT: parsed by ingest, parsed again by the worker, and applied to the stored resource.
fn put(current: &Resource, body: &Value) -> Result<Applied, Error> {
    let (sent, misfit) = read(ResourceType::user(), body)?;
    let sent = serde_json::to_value(sent).unwrap();
    let (sent, misfit) = match (read(ResourceType::user(), &sent)?, misfit) {
        ((sent, found), Some(misfit)) => (sent, Some(misfit.and(found))),
        ((sent, None), None) => (sent, None),
        ((_, Some(found)), None) => panic!("a valid resource became invalid: {found:?}"),
    };
    let active = sent.active().or(current.active()).unwrap_or(true);
    super::put(sent.with_active(active), ResourceType::user(), current, misfit.as_ref())
}

/// Operations that are invalid for an active user, the attribute that is reported, and the keyword of the error.
fn cases() -> Vec<(Value, &'static str, ScimType)> {
    use ScimType::{InvalidFilter, InvalidValue, Mutability, NoTarget};
    let replace = |path: &str, value: Value| json!({ "op": "replace", "path": path, "value": value });
    let beside = |value: Value| json!({ "op": "replace", "value": value });
    let remove = |path: &str| json!({ "op": "Remove", "path": path });
    let mut cases = vec![
        // Removing a required attribute.
        (remove("emails"), "emails", Mutability),
        (remove("emails.value"), "emails", Mutability),
        (remove("emails[type eq \"work\"]"), "emails", Mutability),
        (remove("emails[type eq \"work\"].value"), "emails", Mutability),
        (remove("name"), "name", Mutability),
        (remove("name.givenName"), "name.givenName", Mutability),
        (remove("name.familyName"), "name.familyName", Mutability),
        (remove("userName"), "userName", Mutability),
        (remove("active"), "active", Mutability),
        // Changing a readOnly attribute.
        (remove("id"), "id", Mutability),
        (remove(USER_URN), USER_URN, Mutability),
        (replace("id", json!("x")), "id", Mutability),
        (replace("groups", json!([{ "value": "g" }])), "groups", Mutability),
        (replace("meta.version", json!("1")), "meta.version", Mutability),
        (replace("meta", json!({ "version": "1" })), "meta", Mutability),
        (replace("schemas", json!(["urn:x"])), "schemas", Mutability),
        // A missing target.
        (replace("phoneNumbers[type eq \"fax\"]", json!({ "value": "2" })), "phoneNumbers", NoTarget),
        (replace("phoneNumbers[value eq \"9\"].type", json!("fax")), "phoneNumbers.type", NoTarget),
        (json!({ "op": "remove" }), "Operations", NoTarget),
        // An invalid filter or value.
        (replace("emails[shoe eq \"x\"].value", json!("x")), "emails.value", InvalidFilter),
        (replace("name", json!("Ann")), "name", InvalidValue),
        (replace("name.givenName", json!({ "a": 1 })), "name.givenName", InvalidValue),
        (replace("emails", json!(true)), "emails", InvalidValue),
        (replace("emails", json!([{ "value": true }])), "emails", InvalidValue),
        (replace("emails[type eq \"work\"].value", json!({ "a": 1 })), "emails.value", InvalidValue),
        (replace("title", json!({ "a": 1 })), "title", InvalidValue),
        (replace("title", json!("x".repeat(5000))), "title", InvalidValue),
        (replace("active", json!("perhaps")), "active", InvalidValue),
        (replace(&format!("{ENTERPRISE_URN}:department"), json!({ "a": 1 })), DEPARTMENT, InvalidValue),
        (replace(ENTERPRISE_URN, json!("Sales")), ENTERPRISE_URN, InvalidValue),
        (json!({ "op": "replace", "path": "title" }), "title", InvalidValue),
        (json!({ "op": "replace", "value": "x" }), "Operations", InvalidValue),
    ];
    // The same attributes emptied, with and without a path.
    for empty in [json!(null), json!(""), json!([])] {
        for name in ["emails", "name", "userName"] {
            cases.push((replace(name, empty.clone()), name, InvalidValue));
            cases.push((beside(json!({ (name): empty })), name, InvalidValue));
        }
        for name in ["name.givenName", "name.familyName"] {
            cases.push((replace(name, empty.clone()), name, InvalidValue));
            cases.push((beside(json!({ (name): empty })), name, InvalidValue));
        }
        cases.push((beside(json!({ "name": { "givenName": empty } })), "name.givenName", InvalidValue));
        cases.push((beside(json!({ (USER_URN): { "emails": empty } })), "emails", InvalidValue));
        let work = "emails[type eq \"work\"].value";
        cases.push((replace(work, empty.clone()), "emails", InvalidValue));
        cases.push((beside(json!({ (work): empty })), "emails", InvalidValue));
    }
    cases
}

const DEPARTMENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";

/// The forms of a deactivation.
fn deactivations() -> Vec<Value> {
    let urn = format!("{USER_URN}:active");
    vec![
        json!({ "op": "replace", "path": "active", "value": false }),
        json!({ "op": "Replace", "path": "active", "value": "False" }),
        json!({ "op": "add", "path": "ACTIVE", "value": "false" }),
        json!({ "op": "Replace", "path": urn, "value": false }),
        json!({ "op": "replace", "value": { "active": false } }),
        json!({ "op": "Add", "value": { "Active": "False" } }),
        json!({ "op": "replace", "value": { (urn): "false" } }),
        json!({ "op": "replace", "value": { (USER_URN): { "active": false } } }),
        json!({ "op": "replace", "path": USER_URN, "value": { "active": false } }),
    ]
}

#[test]
fn an_invalid_change_is_ignored_beside_a_deactivation_and_rejected_alone() {
    let (before, left) = (stored(true), stored(false));
    for (operation, name, scim_type) in cases() {
        let alone = patched(&before, json!([operation])).expect_err(&operation.to_string());
        assert_eq!((alone.status, alone.scim_type), (400, Some(scim_type)), "{operation}: {alone}");
        for leave in deactivations() {
            for operations in [json!([leave, operation]), json!([operation, leave])] {
                let applied = patched(&before, operations.clone());
                let expected = Applied { resource: left.clone(), ignored: vec![name.to_owned()] };
                assert_eq!(applied, Ok(expected), "{operations}");
            }
        }
        // An archived user stays archived, whether the request repeats `active: false` or omits it.
        let again = json!([operation, { "op": "replace", "path": "active", "value": false }]);
        for operations in [again, json!([operation])] {
            let applied = patched(&left, operations.clone()).unwrap();
            assert_eq!(
                (&applied.resource, &*applied.ignored),
                (&left, &[name.to_owned()][..]),
                "{operations}"
            );
        }
        // The rule does not apply if the user is active in the end.
        for end in [
            json!([operation, { "op": "replace", "path": "active", "value": true }]),
            json!([{ "op": "replace", "value": { "active": false } }, operation, { "op": "add", "value": { "active": "True" } }]),
        ] {
            assert_eq!(patched(&left, end.clone()), patched(&before, json!([operation])), "{end}");
        }
    }
}

#[test]
fn valid_changes_beside_a_deactivation_are_applied() {
    let applied = patched(
        &stored(true),
        json!([
            { "op": "remove", "path": "emails" },
            { "op": "replace", "path": "title", "value": "Judge" },
            { "op": "replace", "value": { "active": "False", "emails": [], "nickName": "Annie", "locale": true,
                "name": { "givenName": "", "middleName": "C.", "familyName": "Ray" },
                (ENTERPRISE_URN): { "department": true, "division": "West" } } },
            { "op": "add", "path": "companyName", "value": "Corp" },
            { "op": "remove", "path": "phoneNumbers" },
        ]),
    );
    let Applied { resource, ignored } = applied.unwrap();
    assert_eq!(
        serde_json::to_value(resource).unwrap(),
        json!({
            "schemas": [USER_URN, ENTERPRISE_URN], "userName": "ann@corp.example", "externalId": "00u1", "active": false,
            "name": { "givenName": "Ann", "familyName": "Ray", "middleName": "C." },
            "emails": [{ "value": "ann@corp.example", "type": "work", "primary": true }],
            "title": "Judge", "nickName": "Annie",
            ENTERPRISE_URN: { "department": "Sales", "division": "West" },
        })
    );
    for name in ["emails", "locale", "name.givenName", DEPARTMENT, "companyName"] {
        assert!(ignored.iter().any(|ignored| ignored == name), "{name} in {ignored:?}");
    }
    assert_eq!(ignored.len(), 5, "{ignored:?}");
    let clean =
        patched(&stored(true), json!([{ "op": "replace", "value": { "active": false, "title": "" } }]))
            .unwrap();
    assert_eq!((clean.resource.title(), clean.ignored), (None, vec![]));
}

#[test]
fn a_malformed_request_is_rejected_even_with_a_deactivation() {
    let leave = json!({ "op": "replace", "path": "active", "value": false });
    for operation in [
        json!({ "op": "replace", "path": "emails[type eq", "value": "x" }),
        json!({ "op": "replace", "path": "a b", "value": "x" }),
        json!({ "op": "replace", "path": 7, "value": "x" }),
        json!({ "op": "explode", "path": "title", "value": "x" }),
        json!({ "path": "title", "value": "x" }),
        json!(7),
    ] {
        for current in [stored(true), stored(false)] {
            for operations in [json!([leave, operation]), json!([operation, leave])] {
                assert_eq!(patched(&current, operations).unwrap_err().status, 400, "{operation}");
            }
        }
    }
    // Ambiguous: it depends on which member counts.
    let twice = json!([{ "op": "replace", "value": { "active": false, "Active": true } }]);
    assert_eq!(patched(&stored(true), twice).unwrap_err().scim_type, Some(ScimType::InvalidSyntax));
    for body in
        [json!([]), json!({ "active": false, "ACTIVE": true }), json!({ "schemas": 7, "active": false })]
    {
        assert_eq!(put(&stored(true), &body).unwrap_err().status, 400, "{body}");
    }
}

#[test]
fn a_put_that_deactivates_may_have_other_invalid_attributes() {
    let (before, left) = (stored(true), stored(false));
    let whole = serde_json::to_value(&before).unwrap();
    let with = |name: &str, value: Value| {
        let mut body = whole.clone();
        let pointer = format!("/{}", name.replace('.', "/"));
        *body.pointer_mut(&pointer).unwrap() = value;
        (body, vec![name.to_owned()])
    };
    let mut cases = vec![with("title", json!(true)), with("title", json!({ "a": 1 }))];
    for wrong in [json!(null), json!(""), json!([]), json!({}), json!(true)] {
        for name in ["emails", "name"] {
            cases.push(with(name, wrong.clone()));
        }
        for name in ["userName", "name.givenName", "name.familyName"] {
            cases.push(with(name, wrong.clone()));
        }
    }
    for (body, names) in cases {
        let alone = put(&before, &body).expect_err(&body.to_string());
        assert_eq!(alone.status, 400, "{body}: {alone}");
        let mut leaving = body.clone();
        for said in [json!(false), json!("False")] {
            leaving["active"] = said;
            for current in [&before, &left] {
                let applied = put(current, &leaving);
                assert_eq!(
                    applied,
                    Ok(Applied { resource: left.clone(), ignored: names.clone() }),
                    "{leaving}"
                );
            }
        }
        // A body without `active` leaves it unchanged.
        leaving.as_object_mut().unwrap().remove("active");
        assert_eq!(put(&left, &leaving).map(|applied| applied.resource), Ok(left.clone()), "{leaving}");
        assert_eq!(put(&before, &leaving).unwrap_err(), alone, "{leaving}");
    }
}

#[test]
fn a_put_of_little_more_than_active_keeps_omitted_attributes() {
    let before = stored(true);
    for (body, ignored) in [
        (json!({ "active": false }), vec!["userName", "name", "emails"]),
        (json!({ "userName": "ann@corp.example", "active": "False" }), vec!["name", "emails"]),
        (
            json!({ (format!("{USER_URN}:active")): false, "name": { "familyName": "Ray" } }),
            vec!["userName", "name.givenName", "emails"],
        ),
    ] {
        let Applied { resource, ignored: named } = put(&before, &body).unwrap();
        assert_eq!(named, ignored, "{body}");
        assert_eq!((resource.active(), resource.user_name()), (Some(false), "ann@corp.example"));
        assert_eq!(
            (resource.given_name(), resource.primary_email()),
            (Some("Ann"), Some("ann@corp.example"))
        );
        // Omitted attributes are kept, required or not.
        assert_eq!((resource.title(), resource.department()), (Some("Clerk"), Some("Sales")), "{body}");
        assert_eq!(resource.external_id(), Some("00u1"), "{body}");
        resource.require(ResourceType::user()).unwrap();
    }
    // Given twice, once with an invalid value.
    let twice = json!({ "active": false, (USER_URN): { "active": "perhaps" } });
    assert_eq!(put(&before, &twice).unwrap().resource.active(), Some(false));
    assert_eq!(put(&before, &json!({ "active": true })).unwrap_err().status, 400);
    assert_eq!(put(&before, &json!({})).unwrap_err().detail, "userName is required");
}

#[test]
fn an_incomplete_user_can_be_deactivated() {
    let mut incomplete = serde_json::to_value(stored(true)).unwrap();
    incomplete.as_object_mut().unwrap().remove("emails");
    let incomplete: Resource = serde_json::from_value(incomplete).unwrap();
    let operations = json!([{ "op": "replace", "value": { "active": false, "title": true, "emails": "" } }]);
    let applied = patched(&incomplete, operations).unwrap();
    assert_eq!(
        (applied.resource, applied.ignored),
        (incomplete.with_active(false), vec!["title".to_owned()])
    );
}

#[test]
fn a_deactivation_succeeds_although_other_changes_exceed_limits() {
    let before = stored(true);
    let many: Vec<Value> = (0..250).map(|n| json!({ "value": n.to_string() })).collect();
    let add = json!({ "op": "add", "path": "entitlements", "value": many });
    let leave = json!({ "op": "replace", "value": { "active": false } });
    let mut operations = vec![add; 20];
    operations.push(json!({ "op": "remove", "path": "emails" }));
    operations.push(leave);
    let applied = patched(&before, json!(operations)).unwrap();
    assert_eq!(
        (applied.resource.active(), applied.resource.get("emails")),
        (Some(false), before.get("emails"))
    );
    // More than the maximum size of a resource.
    let large = |n: usize| json!({ "op": "add", "path": "x509Certificates", "value": [{ "value": "QUJD".repeat(10_000 + n) }] });
    let mut operations: Vec<Value> = (0..20).map(large).collect();
    operations.push(json!({ "op": "replace", "path": "active", "value": "false" }));
    let applied = patched(&before, json!(operations)).unwrap();
    let ignored = vec!["x509Certificates".to_owned()];
    assert_eq!(applied, Applied { resource: before.clone().with_active(false), ignored });
    let mut body = serde_json::to_value(&before).unwrap();
    body["active"] = json!(false);
    body["x509Certificates"] = (0..20).map(|n| json!({ "value": "QUJD".repeat(10_000 + n) })).collect();
    let applied = put(&before, &body).unwrap();
    assert_eq!(applied.resource, before.with_active(false));
    assert!(applied.ignored.contains(&"x509Certificates".to_owned()), "{:?}", applied.ignored);
}

#[test]
fn the_leaver_rule_does_not_apply_to_groups() {
    let group = Resource::parse(ResourceType::group(), &json!({ "displayName": "Sales" })).unwrap();
    let operations =
        json!({ "Operations": [{ "op": "replace", "value": { "active": false, "displayName": "" } }] });
    let patch = Patch::parse(&operations).unwrap();
    assert!(super::patched(&patch, ResourceType::group(), &group).is_err());
}

#[test]
fn the_number_of_reported_attributes_is_limited() {
    let operations: Vec<Value> = (0..200)
        .map(|n| json!({ "op": "add", "path": format!("attribute{}", n % 100), "value": 1 }))
        .collect();
    let applied = patched(&stored(true), json!(operations)).unwrap();
    assert_eq!((applied.ignored.len(), &*applied.ignored[1]), (crate::applied::MAX_IGNORED, "attribute1"));
}

//! Tests of the bodies of POST and PUT (RFC 7644 §3.3, §3.5.1): accepted, ignored and rejected values.

use serde_json::json;

use super::*;

#[test]
fn okta_creates_a_user() {
    let sent = json!({
        "schemas": [USER_URN], "userName": "ann@corp.example", "name": { "givenName": "Ann", "familyName": "Lee" },
        "emails": [{ "primary": true, "value": "ann@corp.example", "type": "work" }], "displayName": "Ann Lee",
        "locale": "en-US", "externalId": "00u1", "groups": [], "password": "secret", "active": true,
    });
    let parsed = Resource::parse(ResourceType::user(), &sent).unwrap();
    let expected = json!({
        "schemas": [USER_URN], "userName": "ann@corp.example", "name": { "givenName": "Ann", "familyName": "Lee" },
        "emails": [{ "primary": true, "value": "ann@corp.example", "type": "work" }], "displayName": "Ann Lee",
        "locale": "en-US", "externalId": "00u1", "active": true,
    });
    assert_eq!(serde_json::to_value(&parsed).unwrap(), expected);
    assert_eq!(parsed.user_name(), "ann@corp.example");
    assert_eq!((parsed.external_id(), parsed.locale()), (Some("00u1"), Some("en-US")));
}

#[test]
fn names_are_case_insensitive_and_become_canonical() {
    let sent = json!({
        "SCHEMAS": [USER_URN.to_uppercase()], "USERNAME": "Ann", "Name": { "GIVENNAME": "Ann", "familyname": "Lee" },
        "eMails": { "VALUE": "a@b.example", "Type": "work" }, (URN.to_uppercase()): { "DEPARTMENT": "Sales" },
    });
    let parsed = Resource::parse(ResourceType::user(), &sent).unwrap();
    let expected = json!({
        "schemas": [USER_URN, URN], "userName": "Ann", "name": { "givenName": "Ann", "familyName": "Lee" },
        "emails": [{ "value": "a@b.example", "type": "work" }], (URN): { "department": "Sales" },
    });
    assert_eq!(serde_json::to_value(&parsed).unwrap(), expected);
}

#[test]
fn unknown_read_only_and_unstored_attributes_are_ignored() {
    let sent = json!({
        "id": 7, "meta": "x", "groups": "x", "roles": 7, "password": false, "shoeSize": 44, "a b": 1,
        "urn:example:other": { "a": 1 }, "schemas": [USER_URN, "urn:example:other"],
        "nickName": "",  "title": null, "photos": [], "addresses": [{}], "x509Certificates": {}, (URN): {},
        "ims": [{ "value": "", "type": "xmpp", "primary": true }, null],
    });
    assert_eq!(parsed(sent).unwrap(), resource(json!({})));
}

#[test]
fn shorthand_forms_are_accepted() {
    let short = resource(json!({
        "emails": "a@b.example", "phoneNumbers": ["1", { "value": "2" }], (format!("{URN}:department")): "Sales",
        (format!("{URN}.division")): "West", (URN): { "manager": "7" },
    }));
    let long = resource(json!({
        "emails": [{ "value": "a@b.example" }], "phoneNumbers": [{ "value": "1" }, { "value": "2" }],
        (URN): { "department": "Sales", "division": "West", "manager": { "value": "7" } },
    }));
    assert_eq!(short, long);
}

#[test]
fn a_missing_required_attribute_is_named() {
    for (members, detail) in [
        (json!({ "userName": "" }), "userName is required"),
        (json!({ "userName": null }), "userName is required"),
        (json!({ "userName": "  " }), "userName is required"),
        (json!({ "name": null }), "name.familyName is required"),
        (json!({ "name": { "familyName": "Lee" } }), "name.givenName is required"),
        (json!({ "name": { "givenName": "Ann", "familyName": "" } }), "name.familyName is required"),
        (json!({ "emails": [] }), "emails is required"),
        (json!({ "emails": [{ "type": "work", "value": "" }] }), "emails is required"),
        (json!({ "emails": [{ "type": "work", "display": "Ann" }] }), "emails is required"),
    ] {
        let error = parsed(members).unwrap_err();
        assert_eq!((error.scim_type, error.detail.as_str()), (Some(ScimType::InvalidValue), detail));
    }
}

#[test]
fn a_value_of_the_wrong_type_is_rejected_with_an_error_that_names_the_attribute() {
    for (members, named) in [
        (json!({ "title": true }), "title must be a string"),
        (json!({ "title": { "a": 1 } }), "title must be a string"),
        (json!({ "active": "maybe" }), "active must be a boolean"),
        (json!({ "active": 1 }), "active must be a boolean"),
        (json!({ "name": "Ann" }), "name must be an object"),
        (json!({ "name": ["Ann"] }), "name must be an object"),
        (json!({ "title": ["x", "y"] }), "title must be one value, not a list of 2"),
        (json!({ "name": { "givenName": true } }), "name.givenName must be a string"),
        (json!({ "emails": [true] }), "emails must be an object"),
        (json!({ "emails": [["a@b.example"]] }), "emails must be an object"),
        (json!({ "emails": [{ "value": { "a": 1 } }] }), "emails.value must be a string"),
        (json!({ (URN): "Sales" }), "must be an object"),
    ] {
        assert_refused(parsed(members), ScimType::InvalidValue, named);
    }
}

#[test]
fn schemas_are_checked_when_they_are_sent() {
    let mut bare = body(json!({}));
    bare.as_object_mut().unwrap().remove("schemas");
    assert!(Resource::parse(ResourceType::user(), &bare).is_ok());
    assert_refused(parsed(json!({ "schemas": USER_URN })), ScimType::InvalidSyntax, "schemas");
    assert_refused(parsed(json!({ "schemas": [7] })), ScimType::InvalidSyntax, "schemas");
    assert_refused(parsed(json!({ "schemas": [URN] })), ScimType::InvalidValue, "schemas");
    assert_refused(Resource::parse(ResourceType::user(), &json!([])), ScimType::InvalidSyntax, "object");
}

#[test]
fn names_that_differ_only_in_case_are_duplicates() {
    for members in [
        json!({ "active": true, "ACTIVE": false }),
        json!({ "name": { "givenName": "Ann", "GIVENNAME": "Bo", "familyName": "Lee" } }),
        json!({ (URN): { "division": "a", "Division": "b" } }),
    ] {
        assert_refused(parsed(members), ScimType::InvalidSyntax, "given twice");
    }
}

#[test]
fn lengths_are_counted_in_characters_and_reported_without_the_value() {
    let at_limit = "é".repeat(500);
    assert!(parsed(json!({ "userName": at_limit, "externalId": at_limit })).is_ok());
    for (members, detail) in [
        (json!({ "userName": "é".repeat(501) }), "userName has 501 characters, more than the 500 allowed"),
        (
            json!({ "externalId": "x".repeat(600) }),
            "externalId has 600 characters, more than the 500 allowed",
        ),
        (json!({ "title": "x".repeat(4097) }), "title has 4097 characters, more than the 4096 allowed"),
    ] {
        let error = parsed(members).unwrap_err();
        assert_eq!((error.scim_type, error.detail.as_str()), (Some(ScimType::InvalidValue), detail));
    }
    let certificates = |count: u32| {
        let one = |position| json!({ "value": format!("{}{position:04}", "A".repeat(60_000)) });
        json!({ "x509Certificates": (0..count).map(one).collect::<Vec<_>>() })
    };
    assert!(parsed(certificates(8)).is_ok());
    assert_eq!(parsed(certificates(9)).unwrap_err().status, 413);
}

#[test]
fn accessors_return_the_values_of_columns() {
    let user = resource(json!({
        "title": "Clerk", "timezone": "Europe/Oslo", "preferredLanguage": "nb",
        "emails": [{ "value": "1@b.example" }, { "value": "2@b.example", "primary": true }],
        (URN): { "costCenter": "1", "division": "2", "department": "3", "employeeNumber": "4",
                 "manager": { "value": "7", "displayName": "Bo Ek" } },
    }));
    assert_eq!(user.primary_email(), Some("2@b.example"));
    assert_eq!(
        (user.title(), user.timezone(), user.preferred_language()),
        (Some("Clerk"), Some("Europe/Oslo"), Some("nb"))
    );
    assert_eq!((user.cost_center(), user.division()), (Some("1"), Some("2")));
    assert_eq!((user.department(), user.employee_number()), (Some("3"), Some("4")));
    assert_eq!(user.manager_name(), Some("Bo Ek"));
    assert_eq!(user.text(&format!("{URN}:manager.value")), Some("7"));
    assert_eq!(user.with_active(false).active(), Some(false));
}

#[test]
fn user_names_are_unique_case_insensitively() {
    assert_eq!(crate::user_name_key("ANN@Corp.Example"), "ann@corp.example");
    assert_eq!(crate::user_name_key("ÅSA"), crate::user_name_key("åsa"));
}

//! Tests of filters: the RFC's examples, precedence, tolerated forms and rejected filters.

use serde_json::{Value, json};

use super::*;
use crate::{ENTERPRISE_URN, ResourceType, ScimType, USER_URN};

fn user() -> Value {
    json!({
        "schemas": [USER_URN, ENTERPRISE_URN],
        "id": "2819c223", "externalId": "bjensen", "userName": "bjensen@example.example", "title": "Tour Guide",
        "userType": "Employee", "active": true, "name": { "givenName": "Barbara", "familyName": "O'Malley" },
        "emails": [
            { "value": "bjensen@example.example", "type": "work", "primary": true },
            { "value": "babs@home.example", "type": "home" },
        ],
        "meta": { "created": "2010-01-23T04:56:22Z", "lastModified": "2011-05-13T04:42:34Z" },
        (ENTERPRISE_URN): { "department": "Tours", "manager": { "value": "26118915", "displayName": "John" } },
    })
}

fn matches(filter: &str) -> bool {
    Filter::parse(filter).unwrap().matches(ResourceType::user(), &user()).unwrap()
}

#[test]
fn examples_of_the_rfc_are_evaluated() {
    for (filter, expected) in [
        (r#"userName eq "BJensen@example.example""#, true),
        (r#"name.familyName co "O'Malley""#, true),
        (r#"userName sw "J""#, false),
        (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "B""#, true),
        ("title pr", true),
        (r#"meta.lastModified gt "2011-05-13T04:42:34Z""#, false),
        (r#"meta.lastModified ge "2011-05-13T06:42:34+02:00""#, true),
        (r#"meta.lastModified lt "2011-05-14T00:00:00.5Z""#, true),
        (r#"meta.lastModified le "2011-05-12T04:42:34Z""#, false),
        (r#"title pr and userType eq "Employee""#, true),
        (r#"title pr or userType eq "Intern""#, true),
        (r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#, true),
        (r#"userType eq "Employee" and (emails co "example.com" or emails.value co "home.example")"#, true),
        (
            r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
            false,
        ),
        (r#"userType eq "Employee" and (emails.type eq "work")"#, true),
        (r#"userType eq "Employee" and emails[type eq "work" and value co "@example.example"]"#, true),
        (
            r#"emails[type eq "work" and value co "@x.example"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
            false,
        ),
    ] {
        assert_eq!(matches(filter), expected, "{filter}");
    }
}

#[test]
fn tolerated_forms_are_evaluated() {
    for (filter, expected) in [
        (r#"emails[type eq "work"].value eq "BJENSEN@example.example""#, true),
        (r#"emails[type eq "work"].value eq "babs@home.example""#, false),
        (r#"not(title pr)"#, false),
        (r#"NOT (title PR) OR USERNAME Eq "bjensen@example.example""#, true),
        ("active eq True", true),
        (r#"active eq "true""#, true),
        (r#"  ( title pr )  and(active eq true)"#, true),
        ("nickName eq null", true),
        ("title ne null", true),
        (r#"nickName ne "x""#, true),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "tours""#, true),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager.value eq "26118915""#, true),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "26118915""#, true),
        (r#"title eq "Tour\u0020Guide""#, true),
        (r#"title ew "guide""#, true),
        (r#"externalId eq "BJENSEN""#, false),
        (r#"emails[not (type eq "work") and value pr]"#, true),
    ] {
        assert_eq!(matches(filter), expected, "{filter}");
    }
}

#[test]
fn not_binds_tighter_than_and_which_binds_tighter_than_or() {
    for (short, grouped) in [
        ("a pr or b pr and c pr", "a pr or (b pr and c pr)"),
        ("a pr and b pr or c pr", "(a pr and b pr) or c pr"),
        ("not (a pr) and b pr", "(not (a pr)) and b pr"),
        ("a pr or not (b pr) and c pr or d pr", "a pr or ((not (b pr)) and c pr) or d pr"),
    ] {
        assert_eq!(Filter::parse(short), Filter::parse(grouped), "{short}");
    }
    assert_ne!(Filter::parse("a pr and (b pr or c pr)"), Filter::parse("a pr and b pr or c pr"));
    assert_eq!(Filter::parse("not pr").unwrap().to_string(), "not pr");
}

#[test]
fn a_malformed_filter_is_rejected_and_not_repeated_in_the_error() {
    let deep = format!("{}title pr{}", "(".repeat(21), ")".repeat(21));
    let wide = vec!["title pr"; 101].join(" or ");
    let long = format!("title eq \"{}\"", "x".repeat(9000));
    let filters = [
        "",
        " ",
        "title",
        "title eq",
        "title eq ",
        r#"title eq "x"#,
        r#"title eq 'x'"#,
        "title eq x",
        r#"title xx "x""#,
        r#"title eq "x" and"#,
        r#"title eq "x" title pr"#,
        r#"(title eq "x""#,
        r#"title eq "x")"#,
        r#"not title pr"#,
        r#"emails[type eq "x""#,
        r#"emails[]"#,
        r#"emails[a[b pr]]"#,
        r#"emails[type pr].value"#,
        r#"title eq "\u0000""#,
        r#"title eq "\x""#,
        "title eq 1e999",
        "title eq [1]",
        "a.b.c pr",
        "1a pr",
        r#"Secret Secret"#,
        "pr",
        "and",
        "é pr",
        deep.as_str(),
        wide.as_str(),
        long.as_str(),
    ];
    for filter in filters {
        let error = Filter::parse(filter).expect_err(filter);
        assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidFilter)), "{filter}");
        assert!(!error.detail.contains("Secret"));
    }
}

#[test]
fn a_filter_at_the_limits_is_accepted() {
    assert!(Filter::parse(&format!("{}title pr{}", "(".repeat(20), ")".repeat(20))).is_ok());
    assert!(Filter::parse(&vec!["title pr"; 100].join(" or ")).is_ok());
}

#[test]
fn an_invalid_comparison_is_rejected_whatever_the_data() {
    for filter in [
        "shoeSize pr",
        r#"shoeSize eq "x" and title pr"#,
        "title pr or shoeSize pr",
        r#"name.shoe eq "x""#,
        "active gt true",
        "active co true",
        r#"active eq "maybe""#,
        "active eq 1",
        r#"x509Certificates.value gt "x""#,
        "title eq true",
        "title gt null",
        r#"name eq "x""#,
        r#"addresses co "x""#,
        r#"meta.created gt "yesterday""#,
        r#"title[value eq "x"]"#,
        r#"emails[shoe eq "x"]"#,
        r#"ims[value eq true]"#,
        r#"departments eq "x""#,
        USER_URN_PRESENT,
        r#"password eq "x""#,
        "password pr",
        "roles pr",
        r#"roles.value eq "x""#,
        r#"roles[value eq "x"]"#,
        r#"meta.created co "2026""#,
    ] {
        let filter = Filter::parse(filter).unwrap();
        for data in [user(), json!({})] {
            let error = filter.matches(ResourceType::user(), &data).expect_err(&filter.to_string());
            assert_eq!(error.scim_type, Some(ScimType::InvalidFilter));
        }
    }
}

const USER_URN_PRESENT: &str = "urn:ietf:params:scim:schemas:core:2.0:User pr";

#[test]
fn paths_of_the_rfc_and_of_entra_are_parsed() {
    for text in [
        "members",
        "name.familyName",
        "addresses[type eq \"work\"]",
        "members[value eq \"2819c223-7f76-453a-919d-413861904646\"]",
        "members[value eq \"2819c223-7f76-453a-919d-413861904646\"].displayName",
        "emails[type eq \"work\" and primary eq true].value",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        "urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq \"work\"].value",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    ] {
        assert_eq!(Path::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn a_malformed_path_is_rejected_with_the_keyword_of_its_fault() {
    for (text, scim_type) in [
        ("", ScimType::InvalidPath),
        (" ", ScimType::InvalidPath),
        ("emails.", ScimType::InvalidPath),
        ("a.b.c", ScimType::InvalidPath),
        ("1a", ScimType::InvalidPath),
        ("emails[type eq \"work\"]value", ScimType::InvalidPath),
        ("emails[type eq \"work\"].", ScimType::InvalidPath),
        ("emails[type eq \"work\"", ScimType::InvalidFilter),
        ("emails[type xx \"work\"].value", ScimType::InvalidFilter),
        ("emails[]", ScimType::InvalidFilter),
        ("emails[a[b pr]]", ScimType::InvalidFilter),
    ] {
        assert_eq!(Path::parse(text).unwrap_err().scim_type, Some(scim_type), "{text}");
    }
}

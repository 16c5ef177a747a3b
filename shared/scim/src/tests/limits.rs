//! Tests of limits: sizes, nesting depth, unusual characters and numbers. Rejection must be cheap, and accepted input
//! must survive serialization.

use serde_json::json;

use super::*;
use crate::json::MAX_DEPTH;
use crate::projection::MAX_NAMES;
use crate::{Filter, Projection, parse_json, user_name_key};

fn numbered(count: usize) -> Value {
    json!((0..count).map(|number| json!({ "value": number.to_string(), "type": "work" })).collect::<Vec<_>>())
}

fn applied(body: &str, current: &Resource) -> Result<Resource, Error> {
    Patch::parse(&parse_json(body.as_bytes())?)?.apply(ResourceType::user(), current)
}

/// Generates items until the text is half a megabyte long.
fn half_a_megabyte(item: impl Fn(usize) -> String) -> String {
    let mut text = item(0);
    for number in 1.. {
        if text.len() >= 500_000 {
            break;
        }
        text.push(',');
        text.push_str(&item(number));
    }
    text
}

/// Each of these would need tens of millions of comparisons.
#[test]
fn a_request_that_needs_too_much_work_is_rejected() {
    let full = resource(json!({ "phoneNumbers": numbered(250) }));
    let long = json!(
        (0..250)
            .map(|number| json!({ "value": number.to_string(), "display": "d".repeat(1800) }))
            .collect::<Vec<_>>()
    );
    let long = resource(json!({ "phoneNumbers": long }));
    let operations = |operation: Value| json!({ "Operations": vec![operation; 300] }).to_string();
    let phones = |value: Value| json!({ "op": "add", "path": "phoneNumbers", "value": value });
    let at = |op: &str, path: String, value: Value| json!({ "op": op, "path": path, "value": value });
    let contains = r#"phoneNumbers[display co "x" or value co "y"]"#.to_owned();
    let is_long = format!("phoneNumbers[display eq \"{}\"]", "x".repeat(2000));
    let keys = half_a_megabyte(|number| {
        format!(r#""phoneNumbers[type eq \"work\" or value eq \"{number}\"].type":"work""#)
    });
    let terms = vec!["display pr"; 99].join(" or ");
    let long_keys =
        half_a_megabyte(|number| format!(r#""phoneNumbers[{terms} or value eq \"{number}\"].type":"work""#));
    for (case, current, body) in [
        ("lists added", &full, operations(phones(numbered(250)))),
        ("lists removed", &full, operations(at("remove", "phoneNumbers".to_owned(), json!(vec!["x"; 250])))),
        ("long texts searched", &long, operations(at("remove", contains, json!(null)))),
        ("long texts compared", &long, operations(at("remove", is_long, json!(null)))),
        (
            "long texts written",
            &full,
            operations(at("add", "phoneNumbers.display".to_owned(), json!("x".repeat(1000)))),
        ),
        ("filters as keys", &long, format!(r#"{{"Operations":[{{"op":"add","value":{{{keys}}}}}]}}"#)),
        (
            "long filters as keys",
            &long,
            format!(r#"{{"Operations":[{{"op":"add","value":{{{long_keys}}}}}]}}"#),
        ),
    ] {
        let error = applied(&body, current).expect_err(case);
        assert_eq!((error.status, error.scim_type), (413, None), "{case}: {error}");
        assert!(error.detail.contains("comparisons"), "{case}: {error}");
    }
    let created = body(json!({ "phoneNumbers": numbered(250) })).to_string();
    let created = format!("{},{keys}}}", created.strip_suffix('}').unwrap());
    let created = parse_json(created.as_bytes()).unwrap();
    assert_eq!(Resource::parse(ResourceType::user(), &created).unwrap_err().status, 413);
}

#[test]
fn the_work_that_a_directory_may_need_is_allowed() {
    let full = resource(json!({ "phoneNumbers": numbered(250) }));
    let changes = (0..250).map(|number| {
        json!({ "op": "replace", "path": format!("phoneNumbers[value eq \"{number}\"].type"), "value": "home" })
    });
    let after = patch(&full, json!(changes.collect::<Vec<_>>()));
    assert!(
        after.get("phoneNumbers").unwrap().as_array().unwrap().iter().all(|phone| phone["type"] == "home")
    );
    let again = patch(&full, json!([{ "op": "add", "path": "phoneNumbers", "value": numbered(250) }]));
    assert_eq!(again, full);
}

#[test]
fn many_unknown_names_are_ignored() {
    let names = half_a_megabyte(|number| format!("\"x{number}\":[]"));
    let user = body(json!({})).to_string();
    let user = user.strip_suffix('}').unwrap();
    let sent = format!("{user},{names},\"{URN}\":{{{names}}}}}");
    let read = Resource::parse(ResourceType::user(), &parse_json(sent.as_bytes()).unwrap()).unwrap();
    assert_eq!(read, resource(json!({})));
}

#[test]
fn too_deep_nesting_is_rejected_and_allowed_nesting_survives_the_queue() {
    let nested = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"Operations":[{{"op":"add","value":{{"x":{value}}}}}]}}"#)
    };
    let patch = Patch::parse(&parse_json(nested(MAX_DEPTH - 4).as_bytes()).unwrap()).unwrap();
    let message = (0..40).fold(serde_json::to_value(&patch).unwrap(), |value, _| json!([value]));
    assert_eq!(serde_json::from_str::<Value>(&message.to_string()).unwrap(), message);
    for levels in [MAX_DEPTH - 3, 1000, 500_000] {
        let error = parse_json(nested(levels).as_bytes()).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidSyntax));
        assert!(error.detail.contains("64 levels"), "{error}");
    }
}

#[test]
fn a_path_whose_printed_form_is_too_long_is_rejected_by_the_parser() {
    let long = format!("emails[value eq \"{}\" and value eq 1e15]", "x".repeat(8192 - 45));
    assert!(long.len() <= 8192);
    let refused = Patch::parse(&json!({ "Operations": [{ "op": "remove", "path": long }] }));
    assert_refused(refused, ScimType::InvalidPath, "8192");
}

#[test]
fn names_of_an_operation_that_differ_only_in_case_are_duplicates() {
    for body in [
        json!({ "Operations": [{ "op": "add", "OP": "remove", "path": "title", "value": "x" }] }),
        json!({ "Operations": [{ "op": "add", "path": "title", "value": "x", "Value": "y" }] }),
        json!({ "Operations": [{ "op": "remove", "path": "title" }], "operations": [] }),
    ] {
        assert_refused(Patch::parse(&body), ScimType::InvalidSyntax, "given twice");
    }
}

#[test]
fn an_error_repeats_a_name_without_its_filter() {
    let key = "emails[value eq \\\"ann@corp.example\\\"].type";
    for body in [
        format!(r#"{{"{key}":"a","{key}":"b"}}"#),
        format!(r#"{{"{key}":"a\u0000"}}"#),
        format!(r#"{{"{key}":"a","{}":"b"}}"#, key.to_uppercase()),
    ] {
        let error = parse_json(body.as_bytes()).and_then(|body| Resource::parse(ResourceType::user(), &body));
        let error = error.unwrap_err();
        assert!(error.detail.contains("[…]") && !error.detail.to_lowercase().contains("corp"), "{error}");
    }
}

#[test]
fn unusual_numbers_are_rejected_or_ignored_and_never_rounded() {
    let digits = format!("1{}", "0".repeat(400));
    for number in ["1e999", "-1e999", "01", "+1", ".5", "1.", "0x1", "NaN", "Infinity", &digits] {
        let body = format!("{{\"x\":{number}}}");
        assert_refused(parse_json(body.as_bytes()), ScimType::InvalidSyntax, "JSON");
    }
    for number in ["-0", "0e5", "1e-999", "123456789012345678901234567890", "18446744073709551616"] {
        let read = |name: &str| parse_json(format!("{{\"{name}\":{number}}}").as_bytes()).unwrap();
        assert_eq!(parsed(read("shoeSize")).unwrap(), resource(json!({})), "{number}");
        // Read as text, no digit is lost.
        let title = parsed(read("title")).unwrap();
        assert!([number, "0"].contains(&title.title().unwrap()), "{number}");
        assert_refused(parsed(read("active")), ScimType::InvalidValue, "active");
        let filter = Filter::parse(&format!("title eq {number}")).unwrap();
        assert_eq!(Filter::parse(&filter.to_string()).unwrap(), filter);
    }
}

#[test]
fn unusual_characters_are_preserved_or_rejected() {
    for body in
        [r#"{"x":"\ud800"}"#, r#"{"x":"\udc00\ud800"}"#, r#"{"\ud800":1}"#, "\u{feff}{}", r#"{"x":"\u00"}"#]
    {
        assert_refused(parse_json(body.as_bytes()), ScimType::InvalidSyntax, "JSON");
    }
    for text in [
        "İstanbul",
        "straße",
        "e\u{301}",
        "é",
        "\u{feff}Ann",
        "\u{202e}Ann",
        "👩\u{200d}💻",
        "ΝΙΚΟΣ",
        "\u{fffd}",
    ] {
        let sent = parse_json(json!({ "userName": text, "title": text }).to_string().as_bytes()).unwrap();
        let user = resource(sent);
        assert_eq!((user.user_name(), user.title()), (text, Some(text)));
        assert_eq!(user_name_key(&user_name_key(text)), user_name_key(text));
        let user = serde_json::to_value(user).unwrap();
        for filter in ["title eq", "title sw", "title co", "title ew", "userName eq"] {
            let filter = Filter::parse(&format!("{filter} {}", json!(text))).unwrap();
            assert!(filter.matches(ResourceType::user(), &user).unwrap(), "{filter}");
        }
        assert!(Filter::parse(&format!("{text} pr")).is_err());
        assert_refused(
            patched(&resource(json!({})), json!([{ "op": "add", "path": text, "value": "x" }])),
            ScimType::InvalidPath,
            "",
        );
    }
}

#[test]
fn a_substring_matches_case_insensitively() {
    for (title, filter) in [
        ("ΝΙΚΟΣΑΒ", r#"title sw "ΝΙΚΟΣ""#),
        ("νικος", r#"title co "ΚΟΣ""#),
        ("οδυσσευς", r#"title co "ΔΥΣ""#),
        ("İstanbul", r#"title sw "i̇ST""#),
        ("STRAẞE", r#"title co "ß""#),
        ("ΑΣ", r#"title eq "ας""#),
        ("ÅSA", r#"title ew "åsa""#),
    ] {
        let user = serde_json::to_value(resource(json!({ "title": title }))).unwrap();
        let matches = Filter::parse(filter).unwrap().matches(ResourceType::user(), &user);
        assert_eq!(matches, Ok(true), "{title}: {filter}");
    }
}

#[test]
fn the_number_of_names_in_a_projection_is_limited() {
    let names = |count: usize| vec!["userName"; count].join(",");
    assert!(Projection::parse(Some(&names(MAX_NAMES)), None).is_ok());
    for (attributes, excluded) in [(Some(names(MAX_NAMES + 1)), None), (None, Some("a,".repeat(500_000)))] {
        let parsed = Projection::parse(attributes.as_deref(), excluded.as_deref());
        assert_refused(parsed, ScimType::InvalidValue, "200");
    }
    for odd in ["(", "[", ".", "urn:", "é", "\u{feff}"] {
        assert!(Projection::parse(Some(&odd.repeat(500_000)), None).is_ok());
    }
}

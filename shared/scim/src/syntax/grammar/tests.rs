//! Tests of the grammar: the positions and reasons of errors, and the cost of parsing.

use super::*;

#[track_caller]
fn filter_refusal(text: &str) -> String {
    parse_filter(text).expect_err("must be rejected").reason
}

#[test]
fn an_error_gives_the_position_and_what_was_expected() {
    for (text, character, expected) in [
        ("", 1, "expected an attribute"),
        ("title", 6, "expected a space"),
        ("title.x.y pr", 8, "expected a space"),
        ("title. pr", 7, "expected an attribute"),
        ("title xx 1", 7, "expected an operator"),
        ("title prx", 7, "expected an operator"),
        ("title eq", 9, "expected a space"),
        ("title eq x", 10, "expected a JSON string, number, true, false or null"),
        ("title eq 1e999", 10, "expected a JSON string, number, true, false or null"),
        ("title eq \"é", 12, "a string is not terminated"),
        ("title eq \"x\\", 13, "a string is not terminated"),
        ("title eq \"é\\x\"", 10, "a string is not a JSON string"),
        ("title eq \"\\ud800\"", 10, "a string is not a JSON string"),
        ("title eq \"\\u0000\"", 10, "a string contains U+0000"),
        ("title eq \"é\" x", 14, "expected the end"),
        ("title pr and", 10, "expected the end"),
        ("title pr and ", 14, "expected an attribute"),
        ("title pr or )", 13, "expected an attribute"),
        ("(title pr", 10, "expected a closing bracket"),
        ("title pr)", 9, "expected the end"),
        ("emails[]", 8, "expected an attribute"),
        ("emails[type pr)", 15, "expected a closing bracket"),
        ("emails[ims[type pr]]", 12, "a value filter cannot contain another one"),
        ("emails[type pr].value", 22, "expected a space"),
        ("emails[type pr].value pr.x", 25, "expected the end"),
    ] {
        let expected = format!("is invalid at character {character}: {expected}");
        assert_eq!(filter_refusal(text), expected, "{text}");
    }
}

#[test]
fn an_error_in_a_path_tells_whether_it_is_in_the_filter() {
    for (text, character, expected, in_filter) in [
        ("", 1, "expected an attribute", false),
        ("emails ", 7, "expected the end", false),
        ("emails[type pr]value", 16, "expected the end", false),
        ("emails[type pr].", 17, "expected an attribute", false),
        ("emails[type pr].a.b", 18, "expected the end", false),
        ("emails[type]", 12, "expected a space", true),
        ("emails[type pr", 15, "expected a closing bracket", true),
    ] {
        let refusal = parse_path(text).expect_err("must be rejected");
        assert_eq!(refusal.reason, format!("is invalid at character {character}: {expected}"), "{text}");
        assert_eq!(refusal.in_filter, in_filter, "{text}");
    }
}

#[test]
fn the_limits_apply_during_parsing() {
    let terms = |count: usize| vec!["emails[type eq \"a\"].value pr"; count].join(" or ");
    assert!(parse_filter(&terms(MAX_TERMS / 2)).is_ok());
    assert!(filter_refusal(&terms(MAX_TERMS / 2 + 1)).ends_with("it has too many terms"));
    let mixed = |depth: usize| format!("{}a[b pr]{}", "not(".repeat(depth), ")".repeat(depth));
    assert!(parse_filter(&mixed(MAX_DEPTH - 1)).is_ok());
    assert!(filter_refusal(&mixed(MAX_DEPTH)).ends_with("it is nested too deeply"));
}

#[test]
fn a_long_text_is_rejected_in_linear_time() {
    for unit in
        ["(", "not ", "not(", "[", ".", "a", "a.", "a[", "a pr and ", "(a pr or ", "\"", "\\", "urn:", "é"]
    {
        let limit = filter_refusal(&unit.repeat((1 << 20) / unit.len()));
        assert_eq!(limit, "is longer than 8192 bytes");
        for text in [unit.repeat(MAX_LENGTH / unit.len()), format!("a eq \"{}", unit.repeat(1000))] {
            assert!(parse_filter(&text).is_err(), "{unit}");
            let _ = parse_path(&text);
        }
    }
}

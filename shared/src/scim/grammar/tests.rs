//! The grammar under test: where it says that a text stopped making sense, and what it costs to find out.

use super::*;

#[track_caller]
fn filter_refusal(text: &str) -> String {
    parse_filter(text).expect_err("must be refused").reason
}

#[test]
fn a_refusal_says_what_was_expected_where() {
    for (text, character, expected) in [
        ("", 1, "an attribute was expected"),
        ("title", 6, "a space was expected"),
        ("title.x.y pr", 8, "a space was expected"),
        ("title. pr", 7, "an attribute was expected"),
        ("title xx 1", 7, "an operator was expected"),
        ("title prx", 7, "an operator was expected"),
        ("title eq", 9, "a space was expected"),
        ("title eq x", 10, "a JSON string, number, true, false or null was expected"),
        ("title eq 1e999", 10, "a JSON string, number, true, false or null was expected"),
        ("title eq \"é", 12, "a string is not terminated"),
        ("title eq \"x\\", 13, "a string is not terminated"),
        ("title eq \"é\\x\"", 10, "a string is not a JSON string"),
        ("title eq \"\\ud800\"", 10, "a string is not a JSON string"),
        ("title eq \"\\u0000\"", 10, "a string holds U+0000"),
        ("title eq \"é\" x", 14, "the end was expected"),
        ("title pr and", 10, "the end was expected"),
        ("title pr and ", 14, "an attribute was expected"),
        ("title pr or )", 13, "an attribute was expected"),
        ("(title pr", 10, "a closing bracket was expected"),
        ("title pr)", 9, "the end was expected"),
        ("emails[]", 8, "an attribute was expected"),
        ("emails[type pr)", 15, "a closing bracket was expected"),
        ("emails[ims[type pr]]", 12, "a value filter cannot hold another one"),
        ("emails[type pr].value", 22, "a space was expected"),
        ("emails[type pr].value pr.x", 25, "the end was expected"),
    ] {
        let expected = format!("is not understood at character {character}: {expected}");
        assert_eq!(filter_refusal(text), expected, "{text}");
    }
}

#[test]
fn a_path_says_whether_its_filter_is_at_fault() {
    for (text, character, expected, in_filter) in [
        ("", 1, "an attribute was expected", false),
        ("emails ", 7, "the end was expected", false),
        ("emails[type pr]value", 16, "the end was expected", false),
        ("emails[type pr].", 17, "an attribute was expected", false),
        ("emails[type pr].a.b", 18, "the end was expected", false),
        ("emails[type]", 12, "a space was expected", true),
        ("emails[type pr", 15, "a closing bracket was expected", true),
    ] {
        let refusal = parse_path(text).expect_err("must be refused");
        assert_eq!(
            refusal.reason,
            format!("is not understood at character {character}: {expected}"),
            "{text}"
        );
        assert_eq!(refusal.in_filter, in_filter, "{text}");
    }
}

#[test]
fn the_limits_are_met_while_reading() {
    let terms = |count: usize| vec!["emails[type eq \"a\"].value pr"; count].join(" or ");
    assert!(parse_filter(&terms(MAX_TERMS / 2)).is_ok());
    assert!(filter_refusal(&terms(MAX_TERMS / 2 + 1)).ends_with("it has too many terms"));
    let mixed = |depth: usize| format!("{}a[b pr]{}", "not(".repeat(depth), ")".repeat(depth));
    assert!(parse_filter(&mixed(MAX_DEPTH - 1)).is_ok());
    assert!(filter_refusal(&mixed(MAX_DEPTH)).ends_with("it is nested too deeply"));
}

#[test]
fn a_long_text_is_refused_at_a_glance() {
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

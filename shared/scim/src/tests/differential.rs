//! Differential tests of the grammar against another implementation, the crate `scim_v2`. What both accept must parse
//! to the same tree. Where they differ, the case is listed here and our result is the correct one.

use proptest::collection::vec;
use proptest::prelude::*;
use scim_v2::filter as theirs;

use super::*;
use crate::schema::Resolved;
use crate::syntax::Path;
use crate::syntax::{Filter, ValuePath};

/// The common form: prefix notation, in which `and` within `and` (and `or` within `or`) is flattened.
fn node(word: &str, items: Vec<String>) -> String {
    let same = format!("({word} ");
    let items = items.into_iter().map(|item| match item.strip_prefix(&same) {
        Some(inner) => inner.strip_suffix(')').unwrap_or(inner).to_owned(),
        None => item,
    });
    format!("({word} {})", items.collect::<Vec<_>>().join(" "))
}

fn our_form(filter: &Filter) -> String {
    match filter {
        Filter::And(items) => node("and", items.iter().map(our_form).collect()),
        Filter::Or(items) => node("or", items.iter().map(our_form).collect()),
        Filter::Not(inner) => format!("(not {})", our_form(inner)),
        Filter::Compare { path, op, value } => format!("<{op} {path} {value}>"),
        Filter::Present(path) => format!("<pr {path}>"),
        Filter::ValuePath(ValuePath { path, filter }) => format!("<{path} [{}]>", our_form(filter)),
    }
}

fn their_form(filter: &theirs::Filter) -> String {
    match filter {
        theirs::Filter::And(items) => node("and", items.iter().map(their_form).collect()),
        theirs::Filter::Or(items) => node("or", items.iter().map(their_form).collect()),
        theirs::Filter::Not(inner) => format!("(not {})", their_form(inner)),
        theirs::Filter::Attr(expression) => their_expression(expression),
        theirs::Filter::ValuePath(path) => format!("<{} [{}]>", path.attr, their_value_form(&path.filter)),
    }
}

fn their_value_form(filter: &theirs::ValFilter) -> String {
    match filter {
        theirs::ValFilter::And(items) => node("and", items.iter().map(their_value_form).collect()),
        theirs::ValFilter::Or(items) => node("or", items.iter().map(their_value_form).collect()),
        theirs::ValFilter::Not(inner) => format!("(not {})", their_value_form(inner)),
        theirs::ValFilter::Attr(expression) => their_expression(expression),
    }
}

fn their_expression(expression: &theirs::AttrExp) -> String {
    match expression {
        theirs::AttrExp::Present(path) => format!("<pr {path}>"),
        theirs::AttrExp::Comparison(path, op, value) => format!("<{op} {path} {value}>"),
    }
}

fn our_path(path: &Path) -> String {
    let filter = path.filter.as_ref().map(our_form);
    format!(
        "{} [{}] {}",
        path.attr,
        filter.unwrap_or_default(),
        path.sub.as_ref().map_or("", |sub| sub.as_str())
    )
}

fn their_path(path: &theirs::PatchPath) -> String {
    match path {
        theirs::PatchPath::Attr(attr) => format!("{attr} [] "),
        theirs::PatchPath::Value(value) => {
            let sub = value.sub_attr.as_deref().unwrap_or_default();
            format!("{} [{}] {sub}", value.attr, their_value_form(&value.filter))
        }
    }
}

/// Whether both accept the text; if so, both must parse it to the same tree.
fn both_accept(text: &str) -> Result<bool, TestCaseError> {
    let (Ok(ours), Ok(theirs)) = (Filter::parse(text), text.parse::<theirs::Filter>()) else {
        return Ok(false);
    };
    prop_assert_eq!(our_form(&ours), their_form(&theirs), "{}", text);
    Ok(true)
}

/// A filter as a user might type it: keywords in upper and lower case, redundant brackets, extra spaces.
fn typed(filter: &Filter, whims: &mut impl Iterator<Item = u8>) -> String {
    let mut whim = |choices: u8| whims.next().unwrap_or_default() % choices;
    let cased = |word: &str, whim: u8| match whim {
        0 => word.to_uppercase(),
        1 => format!("{}{}", &word[..1].to_uppercase(), &word[1..]),
        _ => word.to_owned(),
    };
    let space = ["  ", "\t", " ", " "][usize::from(whim(4))];
    let text = match filter {
        Filter::And(items) | Filter::Or(items) => {
            let word = if matches!(filter, Filter::And(_)) { "and" } else { "or" };
            let joint = format!("{space}{}{space}", cased(word, whim(4)));
            let items = items.iter().map(|item| match item {
                Filter::And(_) | Filter::Or(_) => format!("({})", typed(item, whims)),
                _ => typed(item, whims),
            });
            return items.collect::<Vec<_>>().join(&joint);
        }
        Filter::Not(inner) => {
            let word = cased("not", whim(4));
            format!("{word}{space}({})", typed(inner, whims))
        }
        Filter::Compare { path, op, value } => {
            format!("{path}{space}{}{space}{value}", cased(&op.to_string(), whim(4)))
        }
        Filter::Present(path) => format!("{path}{space}{}", cased("pr", whim(4))),
        Filter::ValuePath(ValuePath { path, filter }) => format!("{path}[{}]", typed(filter, whims)),
    };
    if whims.next().unwrap_or_default().is_multiple_of(5) { format!("({text})") } else { text }
}

/// Tokens to insert at random positions.
fn word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        " ",
        "\t",
        "(",
        ")",
        "[",
        "]",
        "\"",
        "\\\\",
        ".",
        ".value",
        ":",
        "a pr and ",
        " OR b eq 1.50",
        " and c eq -0",
        " or not (d pr)",
        " Not (e pr or f pr) and",
        "x",
        "not",
        "not ",
        "pr",
        " eq ",
        " and ",
        "urn:x:",
        "true",
        "e5",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_parse_filters_alike(filter in generate::filter(), whims in vec(any::<u8>(), 0..64)) {
        both_accept(&filter.to_string())?;
        both_accept(&typed(&filter, &mut whims.into_iter()))?;
    }

    #[test]
    fn both_parse_filters_with_an_extra_token_alike(
        filter in generate::filter(), whims in vec(any::<u8>(), 0..64), word in word(), at in any::<prop::sample::Index>()
    ) {
        let text = typed(&filter, &mut whims.into_iter());
        let seams: Vec<usize> = text.match_indices([' ', '(', ')', '[', ']', '"']).map(|(seam, _)| seam).collect();
        prop_assume!(!seams.is_empty());
        let (before, after) = text.split_at(*at.get(&seams));
        both_accept(&format!("{before}{word}{after}"))?;
        both_accept(&format!("{before}{word}{}", &after[1..]))?;
    }

    #[test]
    fn both_parse_paths_alike(filter in generate::filter(), attr in "[a-z]{1,5}(\\.[a-z]{1,3})?", sub in "(\\.[a-z]{1,4})?") {
        for text in [format!("{attr}{sub}"), format!("{attr}[{filter}]{sub}")] {
            let (Ok(ours), Ok(theirs)) = (Path::parse(&text), text.parse::<theirs::PatchPath>()) else { continue };
            prop_assert_eq!(our_path(&ours), their_path(&theirs), "{}", text);
        }
    }
}

/// The comparison would be worthless if one implementation rejected most texts.
#[test]
fn both_accept_typical_filters() {
    for text in [
        "a pr or b pr and c pr",
        "a pr and b pr or c pr and d pr or e pr",
        "not (a pr) and b pr or not (c pr or d pr) and e pr",
        "(a pr or b pr) and (c pr and (d pr and e pr))",
        "a pr and (b pr or c pr) or d pr and not (e pr and f pr or g pr)",
        "emails[a pr or b pr and not (c pr)] or d pr and e pr",
        r#"userName Eq "a \"b\" [c] (d) and e""#,
        "a eq -0 or b gt 1.50 and c le 1E3 or d eq null or e ne false",
        "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"J\"",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value pr",
    ] {
        assert!(both_accept(text).unwrap(), "{text}");
    }
}

#[test]
fn filters_that_the_other_wrongly_rejects_are_parsed() {
    for (case, text, form) in [
        ("not without a space", "not(a pr)", "(not <pr a>)"),
        ("not without a space, within brackets", "a[not(b pr)]", "<a [(not <pr b>)]>"),
        ("a bracket beside and", "(a pr)and(b pr)or(c pr)", "(or (and <pr a> <pr b>) <pr c>)"),
        ("$ref", "manager.$ref pr", "<pr manager.$ref>"),
        ("$ref, within brackets", "members[$ref pr]", "<members [<pr $ref>]>"),
        ("a valuePath with a sub-attribute", "a[b eq 1].c eq 2", "<a [(and <eq b 1> <eq c 2>)]>"),
        ("the same after or", "a[b pr or d pr].c pr", "<a [(and (or <pr b> <pr d>) <pr c>)]>"),
        ("the same within a chain", "a[b pr].c pr and d pr", "(and <a [(and <pr b> <pr c>)]> <pr d>)"),
        ("a boolean with a capital", "active eq True", "<eq active true>"),
        ("an attribute called not", "not pr or a pr", "(or <pr not> <pr a>)"),
        ("an attribute called true", "true eq 1", "<eq true 1>"),
        ("an attribute called as an operator", "( eq eq 1 )", "<eq eq 1>"),
        (
            "a URN before two names, with a dot",
            &format!("{URN}.manager.value pr"),
            &format!("<pr {URN}.manager.value>"),
        ),
        ("a URN with a slash", "urn:example:a/b:c pr", "<pr urn:example:a/b:c>"),
        ("a URN with an escape", "urn:example:a%20b:c pr", "<pr urn:example:a%20b:c>"),
    ] {
        assert!(text.parse::<theirs::Filter>().is_err(), "{case}");
        assert_eq!(our_form(&Filter::parse(text).unwrap()), form, "{case}");
    }
}

#[test]
fn paths_that_the_other_wrongly_rejects_are_parsed() {
    for (case, text, form) in [
        ("not without a space", "emails[not(type pr)].value", "emails [(not <pr type>)] value"),
        ("$ref", "manager.$ref", "manager.$ref [] "),
        ("$ref after brackets", "members[value eq 1].$ref", "members [<eq value 1>] $ref"),
        ("a boolean with a capital", "emails[primary eq True].value", "emails [<eq primary true>] value"),
        (
            "a URN before two names, with a dot",
            &format!("{URN}.manager.value"),
            &format!("{URN}.manager.value [] "),
        ),
        ("a URN with a slash", "urn:example:a/b:c[d pr]", "urn:example:a/b:c [<pr d>] "),
    ] {
        assert!(text.parse::<theirs::PatchPath>().is_err(), "{case}");
        assert_eq!(our_path(&Path::parse(text).unwrap()), form, "{case}");
    }
}

/// The same for paths.
#[test]
fn both_accept_typical_paths() {
    for text in [
        "members",
        "name.familyName",
        r#"addresses[type eq "work"]"#,
        r#"emails[type eq "work" and (primary eq true or value ew "x")].value"#,
        "urn:ietf:params:scim:schemas:core:2.0:User:emails[type pr].value",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    ] {
        let theirs = their_path(&text.parse::<theirs::PatchPath>().unwrap());
        assert_eq!(our_path(&Path::parse(text).unwrap()), theirs, "{text}");
    }
}

#[test]
fn filters_that_the_other_wrongly_accepts_are_rejected() {
    for (case, text) in [
        ("a line break as a space", "a\npr"),
        ("a line break around a keyword", "a pr or\n b pr"),
        ("a no-break space", "a eq\u{a0}1"),
        ("an ideographic space", "a\u{3000}pr"),
        ("a line separator", "a pr\u{2028}and b pr"),
        ("a space before a value filter", "a [b pr]"),
        ("U+0000, which we cannot store", r#"a eq "\u0000""#),
    ] {
        assert!(text.parse::<theirs::Filter>().is_ok(), "{case}");
        assert_eq!(Filter::parse(text).unwrap_err().scim_type, Some(ScimType::InvalidFilter), "{case}");
    }
}

/// Only the schema can tell where a URN ends. The other implementation takes the last part for an attribute `User`.
#[test]
fn a_urn_followed_by_a_dot_and_an_attribute_resolves() {
    let text = format!("{URN}.department");
    let theirs::PatchPath::Attr(theirs) = text.parse().unwrap() else { panic!("must be an attribute") };
    assert_eq!((theirs.name.as_str(), theirs.sub_attr.as_deref()), ("User", Some("department")));
    let ours = Path::parse(&text).unwrap();
    match ResourceType::user().resolve(ours.attr.as_str()) {
        Some(Resolved::Attribute(target)) => assert_eq!(target.to_string(), format!("{URN}:department")),
        other => panic!("{other:?}"),
    }
}

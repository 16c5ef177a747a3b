//! Case folding for case-insensitive comparison (caseExact false, RFC 7643 §2.2). In-memory filters and the userName
//! key fold in the same way, so that both agree on which values are equal.
//!
//! The rules are those of UsernameCaseMapped (RFC 8265 §3.3, required by RFC 7644 §5): width mapping, then case
//! mapping, then normalization form C. No character is rejected here: which names are valid is up to the client.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

/// The folded characters of a text. Each is folded independently of its neighbours, so that a substring folds to a
/// substring. `str::to_lowercase` does not guarantee that: it lower-cases a sigma at the end of a word differently.
pub(super) fn letters(text: &str) -> impl Iterator<Item = char> {
    let lower = text.chars().flat_map(narrow).flat_map(char::to_lowercase);
    lower.map(|c| if c == 'ς' { 'σ' } else { c }).nfc()
}

/// Maps full-width and half-width forms to the characters that they are variants of.
fn narrow(c: char) -> impl Iterator<Item = char> {
    let (mut first, mut more) = (None, None);
    match c {
        '\u{3000}' | '\u{ff00}'..='\u{ffef}' => decompose_compatible(c, |c| match first {
            None => first = Some(c),
            Some(_) => more = Some(c),
        }),
        _ => first = Some(c),
    }
    first.into_iter().chain(more)
}

/// Folds a text.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { letters(text).collect() }
}

/// The key by which a userName is unique in its tenant: folded, not trimmed.
///
/// It is computed only here, so that it does not depend on a database's locale.
#[must_use]
pub fn user_name_key(user_name: &str) -> String {
    folded(user_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_only_in_case_or_width_have_the_same_key() {
        for (one, other) in [
            ("Ada@ACME.example", "ada@acme.EXAMPLE"),
            ("ΑΣ", "ασ"),
            ("ας", "ΑΣ"),
            ("ÉVA", "éva"),
            ("zoe\u{308}", "ZO\u{cb}"),
            ("Ａda", "ada"),
            ("ｶﾞ", "ガ"),
            ("a\u{3000}b", "a b"),
        ] {
            assert_eq!(user_name_key(one), user_name_key(other));
        }
        assert_ne!(user_name_key("ada"), user_name_key("ada "));
    }
}

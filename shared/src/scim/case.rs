//! Comparing without regard to case (caseExact false, RFC 7643 §2.2): filters in memory and the key of a userName fold
//! alike, so that what one finds the other holds to be the same.
//!
//! By the rules of UsernameCaseMapped (RFC 8265 §3.3, which RFC 7644 §5 asks for): width, then case, then normalization form C.
//! What may be a name is the client's business: nothing is refused here.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

/// The letters of a text, folded one by one, so that a part of a word is the same within the word. (A lower-case sigma
/// is not: at the end of a word it is another letter, and `str::to_lowercase` knows that.)
pub(super) fn letters(text: &str) -> impl Iterator<Item = char> {
    let lower = text.chars().flat_map(narrow).flat_map(char::to_lowercase);
    lower.map(|c| if c == 'ς' { 'σ' } else { c }).nfc()
}

/// Full-width and half-width forms are the letters that they are forms of.
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

/// A text folded.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { letters(text).collect() }
}

/// The key by which a userName is unique in its tenant: folded, without trimming.
///
/// It is computed here and nowhere else, so that no database's locale has a say in it.
#[must_use]
pub fn user_name_key(user_name: &str) -> String {
    folded(user_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_alone_have_one_key() {
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

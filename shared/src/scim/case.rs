//! Comparing without regard to case (caseExact false, RFC 7643 §2.2): filters in memory and the key of a userName fold
//! alike, so that what one finds the other holds to be the same.

/// The letters of a text, folded one by one, so that a part of a word is the same within the word. (A lower-case sigma
/// is not: at the end of a word it is another letter, and `str::to_lowercase` knows that.)
pub(super) fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c })
}

/// A text folded.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { letters(text).collect() }
}

/// The key by which a userName is unique in its tenant: folded, without trimming and without normalization.
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
        for (one, other) in
            [("Ada@ACME.example", "ada@acme.EXAMPLE"), ("ΑΣ", "ασ"), ("ας", "ΑΣ"), ("ÉVA", "éva")]
        {
            assert_eq!(user_name_key(one), user_name_key(other));
        }
        assert_ne!(user_name_key("ada"), user_name_key("ada "));
    }
}

//! Makes characters visible that a reader cannot see, or that change how the text around them is displayed: control
//! characters move a terminal's cursor, and bidirectional ones reorder a line.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character is invisible or changes the display of others: C0, DEL and C1, bidirectional marks, embeddings,
/// overrides and isolates, characters of width zero, line and paragraph separators, and tags.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text on one line, with hidden characters as escapes: `\u{202e}`.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, rust)
}

/// The text with hidden characters as escapes, except the ends of lines.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    replaced(text, |c| c != '\n' && is_hidden(c), rust)
}

/// JSON with hidden characters as the escapes of JSON: `\u202e`. It remains the same value, because outside of strings
/// JSON has no hidden characters but ends of lines and tabs, which stay.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    replaced(
        text,
        |c| !matches!(c, '\n' | '\r' | '\t') && is_hidden(c),
        |c, shown| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        },
    )
}

fn rust(c: char, shown: &mut String) {
    let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
}

fn replaced(
    text: &str,
    is_replaced: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&is_replaced) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_replaced(c) { write(c, &mut shown) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown_as_escapes() {
        for (text, expected) in [
            ("Ada Lovelace", "Ada Lovelace"),
            ("Zoë 日本 שלום 👩", "Zoë 日本 שלום 👩"),
            ("\x1b[2J\x1b]0;x\x07", "\\u{1b}[2J\\u{1b}]0;x\\u{7}"),
            ("a\u{202e}b\u{2066}c", "a\\u{202e}b\\u{2066}c"),
            ("a\u{9b}2J\x7f", "a\\u{9b}2J\\u{7f}"),
            ("a\u{200b}b\u{feff}\u{2028}\u{61c}", "a\\u{200b}b\\u{feff}\\u{2028}\\u{61c}"),
            ("a\r\nb", "a\\u{d}\\u{a}b"),
        ] {
            assert_eq!(line(text), expected);
        }
        assert_eq!(lines("a\n\tb"), "a\n\\u{9}b");
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({ "a": "\u{202e}\u{9b}\x1b\u{7f}\u{e0041}\n", "b": ["ü"] });
        let text = format!("{value:#}");
        let shown = json(&text);
        assert!(!shown.contains(|c| c != '\n' && is_hidden(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}

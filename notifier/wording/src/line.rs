//! Untrusted text, sanitized for a single line.

/// Sanitizes text for a single line: removes control characters and bidirectional formatting characters, collapses
/// white space, and truncates to `most` characters.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let separator = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let text: String = text.chars().filter(|c| !turns(*c)).collect();
    let words: Vec<&str> = text.split(separator).filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let short: String = line.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", short.trim_end())
}

/// Whether a character only changes the direction of the following text (UAX #9).
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_single_and_bounded() {
        for (text, most, expected) in [
            ("  a\r\n\tb\u{2028}c\u{7}d ", 10, "a b c d"),
            ("safe\u{202e}txt\u{2069}.exe", 20, "safetxt.exe"),
            ("abcdef", 6, "abcdef"),
            ("abc defg", 5, "abc…"),
            ("", 5, ""),
        ] {
            assert_eq!(one_line(text, most), expected);
        }
    }
}

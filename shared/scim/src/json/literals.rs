//! The numbers of a JSON text as they are written. The parser passes on a float for an integer that does not fit 64
//! bits, which loses digits. The reader in `json` visits the numbers in the same order.

/// The numbers that have not been visited yet.
pub(super) struct Literals<'t> {
    rest: &'t str,
}

impl<'t> Literals<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { rest: text }
    }
}

impl<'t> Iterator for Literals<'t> {
    type Item = &'t str;

    /// The next number outside of strings. The text up to it is known to be valid JSON.
    fn next(&mut self) -> Option<&'t str> {
        let mut bytes = self.rest.bytes().enumerate();
        while let Some((start, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    while let Some((_, byte)) = bytes.next()
                        && byte != b'"'
                    {
                        if byte == b'\\' {
                            bytes.next();
                        }
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
                    let number = self.rest.get(start..)?;
                    let length = number.find(|c| !is_part(c)).unwrap_or(number.len());
                    let (number, rest) = number.split_at(length);
                    self.rest = rest;
                    return Some(number);
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_yielded_in_order_and_not_from_within_strings() {
        let text = r#"{"a1":[1,-2.5e+3],"\"7\\":"8 \" 9","é":{"b":0},"c":true,"d":12345678901234567890123}"#;
        let met: Vec<_> = Literals::of(text).collect();
        assert_eq!(met, ["1", "-2.5e+3", "0", "12345678901234567890123"]);
    }
}

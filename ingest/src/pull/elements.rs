//! Splits a JSON array into its elements without parsing them, so that a page of small values, which need many times
//! their size in memory, is never held as a whole. Pure.

/// Why a text is not split.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsplit {
    /// It is not an array.
    NoArray,
    /// It has more elements than this.
    TooMany(usize),
    /// An element is larger than this, in bytes.
    TooLarge(usize),
}

/// The elements of an array, at most `most`, each of at most `size` bytes. An element is only known to be balanced;
/// whoever parses it finds other errors.
///
/// # Errors
/// [`Unsplit`].
pub(super) fn elements(text: &[u8], most: usize, size: usize) -> Result<Vec<&[u8]>, Unsplit> {
    let inner = text.trim_ascii().strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    let mut rest = inner.ok_or(Unsplit::NoArray)?;
    let mut elements = Vec::new();
    if rest.trim_ascii().is_empty() {
        return Ok(elements);
    }
    loop {
        let end = end_of_element(rest).ok_or(Unsplit::NoArray)?;
        let (element, after) = rest.split_at(end);
        if elements.len() == most {
            return Err(Unsplit::TooMany(most));
        }
        if element.len() > size {
            return Err(Unsplit::TooLarge(size));
        }
        elements.push(element);
        match after.split_first() {
            None => return Ok(elements),
            // The comma.
            Some((_, after)) => rest = after,
        }
    }
}

/// The position of the comma behind the first element, or of the end; `None` if brackets or quotes are not balanced.
fn end_of_element(text: &[u8]) -> Option<usize> {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    (depth == 0 && !is_text).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<String>, Unsplit> {
        let split = elements(text.as_bytes(), 3, 20)?;
        Ok(split.into_iter().map(|element| String::from_utf8_lossy(element).into_owned()).collect())
    }

    #[test]
    fn an_array_is_split_at_its_own_commas() {
        assert_eq!(split(" [ ] "), Ok(vec![]));
        assert_eq!(split(r#"[{"a":"],}\"["},[1,2], 3]"#).unwrap(), [r#"{"a":"],}\"["}"#, "[1,2]", " 3"]);
    }

    #[test]
    fn number_and_size_are_bounded() {
        assert_eq!(split("[1,2,3,4]"), Err(Unsplit::TooMany(3)));
        assert_eq!(split("[[1,2,3,4,5,6,7,8,9,0]]"), Err(Unsplit::TooLarge(20)));
        let many = format!("[{}1]", "1,".repeat(1_000_000));
        assert_eq!(split(&many), Err(Unsplit::TooMany(3)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "{}", "[", "]", "[}]", r#"["]"#, "[{]", r#"{"errorCode":"E1"}"#] {
            assert_eq!(split(text), Err(Unsplit::NoArray), "{text}");
        }
    }
}

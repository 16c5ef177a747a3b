//! Parses the fenced blocks of a page. A fence is a line that begins with three backticks.

use std::ops::Range;

/// The kind of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Headers for all following requests.
    Headers,
    /// A request.
    Request,
    /// The answer to the preceding request.
    Answer,
    /// A query and its rows.
    Row,
    /// Events.
    Event,
    /// A mail.
    Mail,
}

/// One block.
#[derive(Debug)]
pub struct Block {
    /// Its kind.
    pub kind: Kind,
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// The range of its body in the page, without the fences.
    pub body: Range<usize>,
}

/// The blocks of a page. Fences with other info strings are prose.
///
/// # Panics
/// If a fence is not closed.
pub fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(Option<Kind>, usize, usize)> = None;
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let start = at;
        at += line.len();
        let Some(info) = line.strip_prefix("```") else { continue };
        match open.take() {
            None => open = Some((kind(info.trim()), number + 1, at)),
            Some((Some(kind), line, body)) => blocks.push(Block { kind, line, body: body..start }),
            Some((None, ..)) => {}
        }
    }
    assert!(open.is_none(), "line {}: the fence is not closed", open.map_or(0, |(_, line, _)| line));
    blocks
}

fn kind(info: &str) -> Option<Kind> {
    Some(match info {
        "http headers" => Kind::Headers,
        "http request" => Kind::Request,
        "http answer" => Kind::Answer,
        "sql row" => Kind::Row,
        "json event" => Kind::Event,
        "eml mail" => Kind::Mail,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_lines_and_bodies() {
        let page = "# A page\n\n```http request\nGET /\n```\nprose\n```sh\nls\n```\n```sql row\n```\n";
        let blocks = parse(page);
        let seen: Vec<_> = blocks.iter().map(|b| (b.kind, b.line, &page[b.body.clone()])).collect();
        assert_eq!(seen, [(Kind::Request, 3, "GET /\n"), (Kind::Row, 10, "")]);
    }
}

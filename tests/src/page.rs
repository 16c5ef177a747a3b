//! Recorded conversations: Markdown pages that a reader can follow, and that are held to what happens.
//!
//! A page is prose and fenced blocks, run from top to bottom against a real stack, as a tenant of its own:
//!
//! | block | what it is |
//! |---|---|
//! | `http headers` | what every following request carries |
//! | `http request` | a request: method, target, headers of its own, a blank line, the body. Spaces and quotes in the target are percent-encoded on the way |
//! | `http answer` | the answer to it: status, the headers that matter (`show::HEADERS`), the body whole |
//! | `sql row` | a query, a blank line, and its rows as a table, or `no row`; given ten seconds to become true |
//! | `json event` | the tenant's events on `rollcall.events` since the last such block, in order, or `no event` |
//! | `eml mail` | the next mail to somebody at the tenant's domain, or `no mail` |
//!
//! What differs from run to run has a name in angle brackets (`names`): the first use binds it, later uses must be
//! equal. Whatever happens beside what the page says (an event, a mail) fails it.
//!
//! With `ROLLCALL_E2E_RECORD` set the answers, rows, events and mails are rewritten from what happened; names that
//! still fit are kept. A new block is written empty and recorded.

mod block;
mod names;
mod scene;
mod show;

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::programs::checkout;
use crate::stack::Stack;

use block::{Block, Kind};
use scene::Scene;

/// Set to rewrite the pages instead of holding what happens to them.
const RECORD: &str = "ROLLCALL_E2E_RECORD";

/// Runs the page `tests/tests/conversations/{name}.md` as a new tenant, whose people are at `{tenant}.example`.
///
/// # Panics
/// When something else happens than the page says: with the page's line, what it says, and what happened.
pub async fn run(stack: &Stack, name: &str, tenant: &str) {
    let file = file(name);
    let mut text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let blocks = block::parse(&text);
    let recording = std::env::var_os(RECORD).is_some();
    let mut scene = Scene::new(stack, tenant, &text, recording).await;
    let mut recorded = Vec::new();
    for block in &blocks {
        let said = &text[block.body.clone()];
        let Some(happened) = scene.perform(block, said).await else { continue };
        if recording {
            recorded.push((block.body.clone(), happened));
        } else if said.trim_end() != happened {
            panic!("{}:{}: {}", file.display(), block.line, difference(block, said.trim_end(), &happened));
        }
    }
    scene.nothing_else().await.unwrap_or_else(|else_| panic!("{}: {else_}", file.display()));
    for (body, happened) in recorded.into_iter().rev() {
        text.replace_range(body, &format!("{happened}\n"));
    }
    if recording {
        std::fs::write(&file, text).unwrap();
    }
}

fn file(name: &str) -> PathBuf {
    checkout().join("tests/tests/conversations").join(format!("{name}.md"))
}

/// The lines that differ, between those that do not.
fn difference(block: &Block, said: &str, happened: &str) -> String {
    let (said, happened): (Vec<_>, Vec<_>) = (said.lines().collect(), happened.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = bool>| pairs.take_while(|same| *same).count();
    let before = same(&mut said.iter().zip(&happened).map(|(a, b)| a == b));
    let after =
        same(&mut said[before..].iter().rev().zip(happened[before..].iter().rev()).map(|(a, b)| a == b));
    let kind = match block.kind {
        Kind::Answer => "the answer is another one",
        Kind::Row => "the rows are others",
        Kind::Event => "other events came",
        Kind::Mail => "another mail came",
        Kind::Headers | Kind::Request => unreachable!("nothing is expected of what is sent"),
    };
    let mut shown = format!("{kind} (- as the page says, + as it was)\n");
    let mut lines = |mark: &str, lines: &[&str]| {
        for line in lines {
            writeln!(shown, "{mark} {line}").unwrap();
        }
    };
    lines(" ", &said[..before]);
    lines("-", &said[before..said.len() - after]);
    lines("+", &happened[before..happened.len() - after]);
    lines(" ", &said[said.len() - after..]);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_the_lines_that_differ_between_those_that_do_not() {
        let block = Block { kind: Kind::Answer, line: 1, body: 0..0 };
        let shown = difference(&block, "200\n{\n  a\n}", "201\n{\n  a,\n  b\n}");
        let expected = "- 200\n- {\n-   a\n+ 201\n+ {\n+   a,\n+   b\n  }\n";
        assert!(shown.ends_with(expected), "{shown}");
        assert!(difference(&block, "a\nb\na", "a\na").ends_with("  a\n- b\n  a\n"));
    }
}

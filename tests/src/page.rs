//! Recorded conversations: Markdown pages that document real exchanges and are checked against them.
//!
//! A page is prose and fenced blocks. The blocks run from top to bottom against a real stack, in the page's own tenant:
//!
//! | block | meaning |
//! |---|---|
//! | `http headers` | headers for all following requests |
//! | `http request` | a request: method, target (percent-encoded before sending), its own headers, a blank line, the body |
//! | `http answer` | the answer to it: status, relevant headers (`show::HEADERS`), complete body |
//! | `sql row` | a query, a blank line, and its rows as a table, or `no row`; retried for ten seconds |
//! | `json event` | the tenant's events on `rollcall.events` since the last such block, in order, or `no event` |
//! | `eml mail` | the next mail to an address at the tenant's domain, or `no mail` |
//!
//! Values that differ between runs have a name in angle brackets (`names`): the first use binds it, later uses must be
//! equal. Events and mails that the page does not mention fail the test.
//!
//! With `ROLLCALL_E2E_RECORD` set, the answers, rows, events and mails are rewritten from the run; names that still fit
//! are kept. To add a block, write it empty and record.

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

/// Set to rewrite the pages instead of checking them.
const RECORD: &str = "ROLLCALL_E2E_RECORD";

/// Runs the page `tests/tests/conversations/{name}.md` as a new tenant, whose users are at `{tenant}.example`.
///
/// # Panics
/// If the run differs from the page; shows the line, the expected and the actual text.
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

/// The differing lines, with the equal ones around them.
fn difference(block: &Block, said: &str, happened: &str) -> String {
    let (said, happened): (Vec<_>, Vec<_>) = (said.lines().collect(), happened.lines().collect());
    let same = |pairs: &mut dyn Iterator<Item = bool>| pairs.take_while(|same| *same).count();
    let before = same(&mut said.iter().zip(&happened).map(|(a, b)| a == b));
    let after =
        same(&mut said[before..].iter().rev().zip(happened[before..].iter().rev()).map(|(a, b)| a == b));
    let kind = match block.kind {
        Kind::Answer => "the answer differs",
        Kind::Row => "the rows differ",
        Kind::Event => "the events differ",
        Kind::Mail => "the mail differs",
        Kind::Headers | Kind::Request => unreachable!("nothing is expected of what is sent"),
    };
    let mut shown = format!("{kind} (- expected by the page, + actual)\n");
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
    fn a_difference_shows_the_differing_lines_in_context() {
        let block = Block { kind: Kind::Answer, line: 1, body: 0..0 };
        let shown = difference(&block, "200\n{\n  a\n}", "201\n{\n  a,\n  b\n}");
        let expected = "- 200\n- {\n-   a\n+ 201\n+ {\n+   a,\n+   b\n  }\n";
        assert!(shown.ends_with(expected), "{shown}");
        assert!(difference(&block, "a\nb\na", "a\na").ends_with("  a\n- b\n  a\n"));
    }
}

//! The grammar of filters and paths (RFC 7644 §3.4.2.2, figure 1; §3.5.2, figure 7), written once for both.
//!
//! Before it: the query string or a PATCH operation. After it: the trees in `filter` and `path`, which callers read.
//! Depth, terms and length are capped, so that a small request cannot ask for much work. An error tells where the
//! text stopped making sense and repeats nothing of it: filters hold names and mail addresses.

use serde_json::Value;

use super::filter::{CompareOp, Filter, ValuePath};
use super::path::{AttrPath, Path};

/// The longest filter or path, in bytes.
pub const MAX_LENGTH: usize = 8192;
/// The deepest nesting of groups, negations and value filters.
pub const MAX_DEPTH: usize = 20;
/// The most comparisons in one filter.
pub const MAX_TERMS: usize = 100;

/// Why a text is not a filter or a path; shown to the client after the words "the filter" or "the path".
pub(super) struct Refusal {
    /// The end of the sentence.
    pub reason: String,
    /// Whether a path failed within its value filter, which has a keyword of its own.
    pub in_filter: bool,
}

/// Parses `FILTER`.
pub(super) fn parse_filter(text: &str) -> Result<Filter, Refusal> {
    parse(text, |input| {
        input.spaces();
        let filter = input.disjunction()?;
        input.spaces();
        Ok(filter)
    })
}

/// Parses `PATH`.
pub(super) fn parse_path(text: &str) -> Result<Path, Refusal> {
    parse(text, Input::path)
}

fn parse<'i, T>(text: &'i str, rule: impl FnOnce(&mut Input<'i>) -> Parsed<T>) -> Result<T, Refusal> {
    if text.len() > MAX_LENGTH {
        return Err(Refusal { reason: format!("is longer than {MAX_LENGTH} bytes"), in_filter: false });
    }
    let mut input = Input { rest: text, depth: 0, terms: 0, in_value_path: false };
    let why = match rule(&mut input) {
        Ok(tree) if input.rest.is_empty() => return Ok(tree),
        Ok(_) => "the end was expected",
        Err(why) => why,
    };
    let character = text.chars().count() - input.rest.chars().count() + 1;
    let reason = format!("is not understood at character {character}: {why}");
    Err(Refusal { reason, in_filter: input.in_value_path })
}

/// What a rule yields, or why it gave up.
type Parsed<T> = Result<T, &'static str>;

/// The text that is left, and what was spent on the text before it.
struct Input<'i> {
    rest: &'i str,
    depth: usize,
    terms: usize,
    in_value_path: bool,
}

/// The rules. None of them looks back: the next character or word always tells which one it is.
impl<'i> Input<'i> {
    /// `or` binds weakest.
    fn disjunction(&mut self) -> Parsed<Filter> {
        self.chain(Self::conjunction, "or", Filter::Or)
    }

    fn conjunction(&mut self) -> Parsed<Filter> {
        self.chain(Self::term, "and", Filter::And)
    }

    fn chain(
        &mut self,
        item: fn(&mut Self) -> Parsed<Filter>,
        word: &str,
        join: fn(Vec<Filter>) -> Filter,
    ) -> Parsed<Filter> {
        let first = item(self)?;
        let mut items = vec![first];
        while self.joint(word) {
            items.push(item(self)?);
        }
        Ok(if items.len() == 1 { items.swap_remove(0) } else { join(items) })
    }

    /// The word between two terms, and the spaces around it.
    fn joint(&mut self, word: &str) -> bool {
        let ahead = self.rest.trim_start_matches(is_space);
        let Some(after) =
            strip_word(ahead, word).filter(|after| after.starts_with(|c| is_space(c) || c == '('))
        else {
            return false;
        };
        self.rest = after.trim_start_matches(is_space);
        true
    }

    /// A group, a negation (`not(` is accepted beside `not (`: clients send both) or an expression.
    fn term(&mut self) -> Parsed<Filter> {
        if let Some(after) = self.rest.strip_prefix('(') {
            self.rest = after;
            return self.nested(')');
        }
        let negated = strip_word(self.rest, "not")
            .and_then(|after| after.trim_start_matches(is_space).strip_prefix('('));
        if let Some(after) = negated {
            self.rest = after;
            return Ok(Filter::Not(Box::new(self.nested(')')?)));
        }
        self.expression()
    }

    /// A filter up to the closing bracket.
    fn nested(&mut self, close: char) -> Parsed<Filter> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        self.spaces();
        let filter = self.disjunction()?;
        self.spaces();
        self.rest = self.rest.strip_prefix(close).ok_or("a closing bracket was expected")?;
        self.depth -= 1;
        Ok(filter)
    }

    fn expression(&mut self) -> Parsed<Filter> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err("it has too many terms");
        }
        let path = self.attr_path()?;
        let Some(filter) = self.value_filter()? else {
            return self.comparison(path);
        };
        let filter = match self.sub_attr()? {
            None => filter,
            Some(sub) => narrowed(filter, self.comparison(sub)?),
        };
        Ok(Filter::ValuePath(ValuePath { path, filter: Box::new(filter) }))
    }

    /// `"[" valFilter "]"`, if it comes next.
    fn value_filter(&mut self) -> Parsed<Option<Filter>> {
        let Some(after) = self.rest.strip_prefix('[') else { return Ok(None) };
        if self.in_value_path {
            return Err("a value filter cannot hold another one");
        }
        self.rest = after;
        self.in_value_path = true;
        let filter = self.nested(']')?;
        self.in_value_path = false;
        Ok(Some(filter))
    }

    fn comparison(&mut self, path: AttrPath) -> Parsed<Filter> {
        self.space()?;
        let word = self.take(|c| c.is_ascii_alphabetic());
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let op = CompareOp::from_word(word).ok_or("an operator was expected before this")?;
        self.space()?;
        let value = self.comp_value()?;
        Ok(Filter::Compare { path, op, value })
    }

    /// `compValue`: a JSON scalar. `True` and `False` are taken too, as Entra ID writes booleans.
    fn comp_value(&mut self) -> Parsed<Value> {
        if self.rest.starts_with('"') {
            return self.string();
        }
        let word = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        let value = serde_json::from_str(&word.to_ascii_lowercase());
        value.map_err(|_| "a JSON string, number, true, false or null was expected before this")
    }

    fn string(&mut self) -> Parsed<Value> {
        let mut is_escaped = false;
        let end = self.rest.char_indices().skip(1).find(|&(_, c)| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let (end, _) = end.ok_or("a string is not terminated")?;
        let (token, after) = self.rest.split_at_checked(end + 1).ok_or("a string is not terminated")?;
        match serde_json::from_str::<String>(token) {
            // Postgres cannot hold it, so nothing we keep has it.
            Ok(text) if text.contains('\0') => Err("a string holds U+0000"),
            Ok(text) => {
                self.rest = after;
                Ok(Value::String(text))
            }
            Err(_) => Err("a string is not a JSON string"),
        }
    }

    /// `attrPath`; what the table says about it is a later question.
    fn attr_path(&mut self) -> Parsed<AttrPath> {
        let before = self.rest;
        AttrPath::new(self.take(AttrPath::is_part)).ok_or_else(|| {
            self.rest = before;
            "an attribute was expected"
        })
    }

    /// `subAttr`, if it comes next.
    fn sub_attr(&mut self) -> Parsed<Option<AttrPath>> {
        let Some(after) = self.rest.strip_prefix('.') else { return Ok(None) };
        self.rest = after;
        self.attr_path().map(Some)
    }

    /// `PATH = attrPath / valuePath [subAttr]`.
    fn path(&mut self) -> Parsed<Path> {
        let attr = self.attr_path()?;
        let filter = self.value_filter()?;
        let sub = if filter.is_some() { self.sub_attr()? } else { None };
        Ok(Path { attr, filter, sub })
    }

    fn space(&mut self) -> Parsed<()> {
        if !self.rest.starts_with(is_space) {
            return Err("a space was expected");
        }
        self.spaces();
        Ok(())
    }

    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn take(&mut self, is_part: impl Fn(char) -> bool) -> &'i str {
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

/// `emails[type eq "work"].value eq "x"`, which Entra ID sends and figure 1 does not have, says the same as
/// `emails[type eq "work" and value eq "x"]`.
fn narrowed(filter: Filter, comparison: Filter) -> Filter {
    match filter {
        Filter::And(mut items) => {
            items.push(comparison);
            Filter::And(items)
        }
        filter => Filter::And(vec![filter, comparison]),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn strip_word<'i>(text: &'i str, word: &str) -> Option<&'i str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

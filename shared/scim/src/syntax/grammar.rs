//! The grammar of filters and paths (RFC 7644 §3.4.2.2, figure 1; §3.5.2, figure 7), shared by both.
//!
//! Nesting depth, number of terms and length are limited during parsing, so that a small request cannot cause much
//! work. The parser backtracks over one attribute path at most. An error gives the position but repeats nothing of the
//! text, because filters contain names and mail addresses.

use serde_json::Value;
use winnow::ascii::{Caseless, alpha1, space0, space1, take_escaped};
use winnow::combinator::{alt, cut_err, delimited, fail, opt, peek, preceded, separated};
use winnow::error::{ContextError, ErrMode};
use winnow::prelude::*;
use winnow::stream::Stateful;
use winnow::token::{any, one_of, take_till, take_while};

use super::{AttrPath, CompareOp, Filter, Path, ValuePath, lenient};

/// The maximum length of a filter or path, in bytes.
pub const MAX_LENGTH: usize = 8192;
/// The maximum nesting of groups, negations and value filters.
pub const MAX_DEPTH: usize = 20;
/// The maximum number of comparisons in one filter.
pub const MAX_TERMS: usize = 100;

/// Why a text is not a valid filter or path; shown to the client after the words "the filter" or "the path".
pub(super) struct Refusal {
    /// The rest of the sentence.
    pub reason: String,
    /// Whether the error is inside the value filter of a path, which has its own keyword.
    pub in_filter: bool,
}

/// Parses `FILTER`, optionally surrounded by spaces.
pub(super) fn parse_filter(text: &str) -> Result<Filter, Refusal> {
    parse(text, delimited(space0, filter, space0))
}

/// Parses `PATH`.
pub(super) fn parse_path(text: &str) -> Result<Path, Refusal> {
    parse(text, path)
}

/// Parses `attrPath`.
pub(super) fn parse_attr_path(text: &str) -> Result<AttrPath, Refusal> {
    parse(text, attr_path)
}

type Input<'i> = Stateful<&'i str, Spent>;
type Refused = ErrMode<ContextError<&'static str>>;
type Parsed<T> = Result<T, Refused>;
type Rule<'i> = fn(&mut Input<'i>) -> Parsed<Filter>;

/// The limits used so far. They are counted only where the parser no longer backtracks.
#[derive(Debug, Default)]
struct Spent {
    depth: usize,
    terms: usize,
}

fn parse<'i, T>(text: &'i str, mut rule: impl Parser<Input<'i>, T, Refused>) -> Result<T, Refusal> {
    if text.len() > MAX_LENGTH {
        return Err(Refusal { reason: format!("is longer than {MAX_LENGTH} bytes"), in_filter: false });
    }
    let input = Stateful { input: text, state: Spent::default() };
    rule.parse(input).map_err(|error| {
        let before = text.get(..error.offset()).unwrap_or(text);
        let character = before.chars().count() + 1;
        // The innermost context comes first. Only trailing text after the whole rule has no context.
        let why = error.inner().context().next().copied().unwrap_or("expected the end");
        let reason = format!("is invalid at character {character}: {why}");
        Refusal { reason, in_filter: error.input().state.depth > 0 }
    })
}

/// §3.5.2, figure 7: `PATH = attrPath / valuePath [subAttr]`
fn path(input: &mut Input<'_>) -> Parsed<Path> {
    let selected = (value_path, opt(sub_attr)).map(|(ValuePath { path, filter }, sub)| Path {
        attr: path,
        filter: Some(*filter),
        sub,
    });
    let plain = attr_path.map(|attr| Path { attr, filter: None, sub: None });
    alt((selected, plain)).parse_next(input)
}

/// §3.4.2.2: `FILTER = attrExp / logExp / valuePath / *1"not" "(" FILTER ")"`
fn filter(input: &mut Input<'_>) -> Parsed<Filter> {
    log_exp(alt((group(filter), value_exp, attr_exp))).parse_next(input)
}

/// §3.4.2.2: `valFilter = attrExp / logExp / *1"not" "(" valFilter ")"`
fn val_filter(input: &mut Input<'_>) -> Parsed<Filter> {
    let value_path = preceded((attr_path, '['), cut_err(fail));
    let value_path = value_path.context("a value filter cannot contain another one");
    log_exp(alt((group(val_filter), value_path, attr_exp))).parse_next(input)
}

/// §3.4.2.2: `logExp = FILTER SP ("and" / "or") SP FILTER`. The clause's text adds the precedence: `or` binds weakest.
fn log_exp<'i>(term: impl Parser<Input<'i>, Filter, Refused>) -> impl Parser<Input<'i>, Filter, Refused> {
    chain(chain(term, "and", Filter::And), "or", Filter::Or)
}

/// The spaces are optional next to a bracket.
fn chain<'i>(
    item: impl Parser<Input<'i>, Filter, Refused>,
    word: &'static str,
    join: fn(Vec<Filter>) -> Filter,
) -> impl Parser<Input<'i>, Filter, Refused> {
    let joint = (space0, Caseless(word), peek(one_of([' ', '\t', '('])), space0);
    separated(1.., cut_err(item), joint)
        .map(move |mut items: Vec<Filter>| if items.len() == 1 { items.swap_remove(0) } else { join(items) })
}

/// §3.4.2.2: `*1"not" "(" FILTER ")"`. `not(` is accepted beside `not (`: clients send both.
fn group<'i>(rule: Rule<'i>) -> impl Parser<Input<'i>, Filter, Refused> {
    (opt((Caseless("not"), space0)), nested('(', rule, ')'))
        .map(|(not, inner)| if not.is_some() { Filter::Not(Box::new(inner)) } else { inner })
}

/// A bracketed rule. After the opening bracket the parser does not backtrack.
fn nested<'i>(open: char, rule: Rule<'i>, close: char) -> impl Parser<Input<'i>, Filter, Refused> {
    let close = (space0, close).context("expected a closing bracket");
    delimited((open, deeper, space0), cut_err(rule), (cut_err(close), shallower))
}

/// §3.4.2.2: `valuePath = attrPath "[" valFilter "]"`
fn value_path(input: &mut Input<'_>) -> Parsed<ValuePath> {
    (attr_path, nested('[', val_filter, ']'))
        .map(|(path, filter)| ValuePath { path, filter: Box::new(filter) })
        .parse_next(input)
}

/// `valuePath` as a filter, and `emails[type eq "work"].value eq "x"`, which figure 1 does not define.
fn value_exp(input: &mut Input<'_>) -> Parsed<Filter> {
    (value_path, opt((sub_attr, term, cut_err(predicate))))
        .map(|(mut value_path, narrowing)| {
            if let Some((sub, (), predicate)) = narrowing {
                *value_path.filter = lenient::narrowed(*value_path.filter, predicate.about(sub));
            }
            Filter::ValuePath(value_path)
        })
        .parse_next(input)
}

/// §3.4.2.2: `attrExp = (attrPath SP "pr") / (attrPath SP compareOp SP compValue)`
fn attr_exp(input: &mut Input<'_>) -> Parsed<Filter> {
    (attr_path, term, cut_err(predicate)).map(|(path, (), predicate)| predicate.about(path)).parse_next(input)
}

/// The part of an `attrExp` that follows its `attrPath`.
#[derive(Clone)]
enum Predicate {
    Present,
    Compare(CompareOp, Value),
}

impl Predicate {
    fn about(self, path: AttrPath) -> Filter {
        match self {
            Predicate::Present => Filter::Present(path),
            Predicate::Compare(op, value) => Filter::Compare { path, op, value },
        }
    }
}

/// §3.4.2.2: `SP "pr" / SP compareOp SP compValue`
fn predicate(input: &mut Input<'_>) -> Parsed<Predicate> {
    let present = alpha1.verify(|word: &str| word.eq_ignore_ascii_case("pr")).value(Predicate::Present);
    let compare = (compare_op, preceded(space, comp_value));
    let compare = compare.map(|(op, value)| Predicate::Compare(op, value));
    preceded(space, alt((present, compare))).parse_next(input)
}

/// §3.4.2.2: `compareOp = "eq" / "ne" / "co" / "sw" / "ew" / "gt" / "lt" / "ge" / "le"`
fn compare_op(input: &mut Input<'_>) -> Parsed<CompareOp> {
    alpha1.verify_map(CompareOp::from_word).context("expected an operator").parse_next(input)
}

/// §3.4.2.2: `compValue = false / null / true / number / string`
fn comp_value(input: &mut Input<'_>) -> Parsed<Value> {
    alt((string, literal)).context("expected a JSON string, number, true, false or null").parse_next(input)
}

/// `false / null / true / number` (RFC 8259 §3, §6). The characters are matched loosely; `serde_json` validates them.
fn literal(input: &mut Input<'_>) -> Parsed<Value> {
    take_while(1.., |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        .verify_map(lenient::literal)
        .parse_next(input)
}

/// `string` (RFC 8259 §7). The end is found here; `serde_json` decodes the escapes. U+0000 is rejected: PostgreSQL
/// cannot store it, so no stored value contains it.
fn string(input: &mut Input<'_>) -> Parsed<Value> {
    let quoted = ('"', take_escaped(take_till(1.., ['"', '\\']), '\\', any), '"');
    let text = quoted
        .take()
        .context("a string is not terminated")
        .verify_map(|token| serde_json::from_str::<String>(token).ok())
        .context("a string is not a JSON string")
        .verify(|text: &String| !text.contains('\0'))
        .context("a string contains U+0000");
    preceded(peek('"'), cut_err(text)).map(Value::String).parse_next(input)
}

/// §3.4.2.2: `attrPath = [URI ":"] ATTRNAME *1subAttr`, kept as text. Both URNs and names contain dots and colons, so
/// only the schema can tell where the URN ends.
fn attr_path(input: &mut Input<'_>) -> Parsed<AttrPath> {
    let plain = (attr_name, opt(sub_attr)).take();
    alt((urn, plain)).map(AttrPath::from_grammar).parse_next(input)
}

/// A URN (RFC 8141 §2) together with the rest of the `attrPath`.
fn urn<'i>(input: &mut Input<'i>) -> Parsed<&'i str> {
    let is_part = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '$' | '.' | ':' | '/' | '%' | '+' | '~')
    };
    (Caseless("urn:"), take_while(1.., is_part)).take().parse_next(input)
}

/// §3.4.2.2: `subAttr = "." ATTRNAME`
fn sub_attr(input: &mut Input<'_>) -> Parsed<AttrPath> {
    preceded('.', cut_err(attr_name)).map(AttrPath::from_grammar).parse_next(input)
}

/// §3.4.2.2: `ATTRNAME = ALPHA *(nameChar)`, and `$ref`, which RFC 7643 §2.4 defines but this rule omits.
fn attr_name<'i>(input: &mut Input<'i>) -> Parsed<&'i str> {
    let first = one_of(|c: char| c.is_ascii_alphabetic() || c == '$');
    let name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (first, take_while(0.., name_char)).take().context("expected an attribute").parse_next(input)
}

/// §3.4.2.2: `SP`; more than one is accepted.
fn space(input: &mut Input<'_>) -> Parsed<()> {
    space1.void().context("expected a space").parse_next(input)
}

/// Counts one more term.
fn term(input: &mut Input<'_>) -> Parsed<()> {
    input.state.terms += 1;
    if input.state.terms > MAX_TERMS { refuse("it has too many terms") } else { Ok(()) }
}

/// Counts one more level of nesting. The limit bounds the stack.
fn deeper(input: &mut Input<'_>) -> Parsed<()> {
    input.state.depth += 1;
    if input.state.depth > MAX_DEPTH { refuse("it is nested too deeply") } else { Ok(()) }
}

fn shallower(input: &mut Input<'_>) -> Parsed<()> {
    input.state.depth -= 1;
    Ok(())
}

fn refuse(why: &'static str) -> Parsed<()> {
    let mut error = ContextError::new();
    error.push(why);
    Err(ErrMode::Cut(error))
}

#[cfg(test)]
mod tests;

//! The grammar of filters and paths (RFC 7644 §3.4.2.2, figure 1; §3.5.2, figure 7), written once for both.
//!
//! Before it: the query string or a PATCH operation. After it: the trees in `filter` and `path`, which callers read.
//! Depth, terms and length are capped while it reads, so that a small request cannot ask for much work. It looks back
//! over one attribute path at most. An error tells where the text stopped making sense and repeats nothing of it:
//! filters hold names and mail addresses.

use serde_json::Value;
use winnow::ascii::{Caseless, alpha1, space0, space1, take_escaped};
use winnow::combinator::{alt, cut_err, delimited, fail, opt, peek, preceded, separated};
use winnow::error::{ContextError, ErrMode};
use winnow::prelude::*;
use winnow::stream::Stateful;
use winnow::token::{any, one_of, take_till, take_while};

use super::dialect;
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

/// Parses `FILTER`, with spaces around it.
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

/// What the text has used up so far. It is counted only where the rules no longer look back.
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
        // The innermost context comes first; only what follows the whole rule has none.
        let why = error.inner().context().next().copied().unwrap_or("the end was expected");
        let reason = format!("is not understood at character {character}: {why}");
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
    let value_path = value_path.context("a value filter cannot hold another one");
    log_exp(alt((group(val_filter), value_path, attr_exp))).parse_next(input)
}

/// §3.4.2.2: `logExp = FILTER SP ("and" / "or") SP FILTER`, and the precedence that the clause adds in words: `or` binds
/// weakest.
fn log_exp<'i>(term: impl Parser<Input<'i>, Filter, Refused>) -> impl Parser<Input<'i>, Filter, Refused> {
    chain(chain(term, "and", Filter::And), "or", Filter::Or)
}

/// Beside a bracket the spaces may be missing.
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

/// What stands in brackets. From the opening one on there is no other way to read the text.
fn nested<'i>(open: char, rule: Rule<'i>, close: char) -> impl Parser<Input<'i>, Filter, Refused> {
    let close = (space0, close).context("a closing bracket was expected");
    delimited((open, deeper, space0), cut_err(rule), (cut_err(close), shallower))
}

/// §3.4.2.2: `valuePath = attrPath "[" valFilter "]"`
fn value_path(input: &mut Input<'_>) -> Parsed<ValuePath> {
    (attr_path, nested('[', val_filter, ']'))
        .map(|(path, filter)| ValuePath { path, filter: Box::new(filter) })
        .parse_next(input)
}

/// `valuePath` as a filter, and `emails[type eq "work"].value eq "x"`, which figure 1 does not have.
fn value_exp(input: &mut Input<'_>) -> Parsed<Filter> {
    (value_path, opt((sub_attr, term, cut_err(predicate))))
        .map(|(mut value_path, narrowing)| {
            if let Some((sub, (), predicate)) = narrowing {
                *value_path.filter = dialect::narrowed(*value_path.filter, predicate.about(sub));
            }
            Filter::ValuePath(value_path)
        })
        .parse_next(input)
}

/// §3.4.2.2: `attrExp = (attrPath SP "pr") / (attrPath SP compareOp SP compValue)`
fn attr_exp(input: &mut Input<'_>) -> Parsed<Filter> {
    (attr_path, term, cut_err(predicate)).map(|(path, (), predicate)| predicate.about(path)).parse_next(input)
}

/// What an `attrExp` says of its `attrPath`.
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
    alpha1.verify_map(CompareOp::from_word).context("an operator was expected").parse_next(input)
}

/// §3.4.2.2: `compValue = false / null / true / number / string`
fn comp_value(input: &mut Input<'_>) -> Parsed<Value> {
    alt((string, literal))
        .context("a JSON string, number, true, false or null was expected")
        .parse_next(input)
}

/// `false / null / true / number` (RFC 8259 §3, §6): whatever looks like one; `serde_json` has the rules and the limits.
fn literal(input: &mut Input<'_>) -> Parsed<Value> {
    take_while(1.., |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
        .verify_map(dialect::literal)
        .parse_next(input)
}

/// `string` (RFC 8259 §7): its end is found here, its escapes are read by `serde_json`. U+0000 is refused: Postgres cannot
/// hold it, so nothing we keep has it.
fn string(input: &mut Input<'_>) -> Parsed<Value> {
    let quoted = ('"', take_escaped(take_till(1.., ['"', '\\']), '\\', any), '"');
    let text = quoted
        .take()
        .context("a string is not terminated")
        .verify_map(|token| serde_json::from_str::<String>(token).ok())
        .context("a string is not a JSON string")
        .verify(|text: &String| !text.contains('\0'))
        .context("a string holds U+0000");
    preceded(peek('"'), cut_err(text)).map(Value::String).parse_next(input)
}

/// §3.4.2.2: `attrPath = [URI ":"] ATTRNAME *1subAttr`, kept as it was written: where a URN ends and a name begins only
/// the table can tell, since both have dots and colons in them.
fn attr_path(input: &mut Input<'_>) -> Parsed<AttrPath> {
    let plain = (attr_name, opt(sub_attr)).take();
    alt((urn, plain)).map(AttrPath::from_grammar).parse_next(input)
}

/// A URN (RFC 8141 §2) and what may follow it in an `attrPath`.
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

/// §3.4.2.2: `ATTRNAME = ALPHA *(nameChar)`, and `$ref`, which RFC 7643 §2.4 has and this rule has not.
fn attr_name<'i>(input: &mut Input<'i>) -> Parsed<&'i str> {
    let first = one_of(|c: char| c.is_ascii_alphabetic() || c == '$');
    let name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (first, take_while(0.., name_char)).take().context("an attribute was expected").parse_next(input)
}

/// §3.4.2.2: `SP`, of which there may be more than one.
fn space(input: &mut Input<'_>) -> Parsed<()> {
    space1.void().context("a space was expected").parse_next(input)
}

/// One term more.
fn term(input: &mut Input<'_>) -> Parsed<()> {
    input.state.terms += 1;
    if input.state.terms > MAX_TERMS { refuse("it has too many terms") } else { Ok(()) }
}

/// One level deeper, which is what bounds the stack.
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

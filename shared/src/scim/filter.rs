//! Filters (RFC 7644 §3.4.2.2): the tree that the grammar makes and that prints as it is parsed.
//!
//! Before it: the query string of a list request, or a path's value filter. After it: `filter/matches.rs`, which holds
//! values against it, `filter/root.rs`, which tells what it means for one of several types, and the lists of the database,
//! which are held to the same answers.

mod matches;
mod root;

use std::fmt;

pub use root::Selection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::Error;
use super::grammar;
use super::path::AttrPath;
use super::value::size;

/// `FILTER`, by the names of the RFC's grammar. It travels as the text that it prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Filter {
    /// All hold; two or more.
    And(Vec<Filter>),
    /// One holds; two or more.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// `attrPath SP compareOp SP compValue`; the value is a JSON scalar.
    Compare {
        /// What is compared.
        path: AttrPath,
        /// How.
        op: CompareOp,
        /// With what.
        value: Value,
    },
    /// `attrPath SP "pr"`.
    Present(AttrPath),
    /// `attrPath "[" valFilter "]"`.
    ValuePath(ValuePath),
}

/// `valuePath`: one value of a multi-valued attribute satisfies the whole filter.
#[derive(Clone, Debug, PartialEq)]
pub struct ValuePath {
    /// The attribute.
    pub path: AttrPath,
    /// What one of its values must satisfy.
    pub filter: Box<Filter>,
}

/// `compareOp` (RFC 7644 §3.4.2.2, table 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `eq`
    Equal,
    /// `ne`
    NotEqual,
    /// `co`
    Contains,
    /// `sw`
    StartsWith,
    /// `ew`
    EndsWith,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

impl CompareOp {
    /// All of them, with the words that stand for them.
    pub const ALL: [(CompareOp, &'static str); 9] = [
        (CompareOp::Equal, "eq"),
        (CompareOp::NotEqual, "ne"),
        (CompareOp::Contains, "co"),
        (CompareOp::StartsWith, "sw"),
        (CompareOp::EndsWith, "ew"),
        (CompareOp::Greater, "gt"),
        (CompareOp::GreaterOrEqual, "ge"),
        (CompareOp::Less, "lt"),
        (CompareOp::LessOrEqual, "le"),
    ];

    /// The operator of that name, whatever its case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(op, _)| *op)
    }
}

impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(op, _)| op == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

impl Filter {
    /// Parses a filter.
    ///
    /// # Errors
    /// 400 `invalidFilter`, which repeats nothing of the filter: it may hold personal data.
    pub fn parse(text: &str) -> Result<Self, Error> {
        grammar::parse_filter(text)
            .map_err(|refusal| Error::invalid_filter(format!("the filter {}", refusal.reason)))
    }

    /// How many comparisons it makes.
    pub fn terms(&self) -> usize {
        self.cost().0
    }

    /// What it costs to hold one value against it: the comparisons, and the bytes of text to compare with.
    pub(super) fn cost(&self) -> (usize, usize) {
        match self {
            Filter::And(items) | Filter::Or(items) => {
                let costs = items.iter().map(Filter::cost);
                costs.fold((0, 0), |(terms, text), (more, longer)| (terms + more, text + longer))
            }
            Filter::Not(inner) => inner.cost(),
            Filter::Compare { value, .. } => (1, size(value)),
            Filter::Present(_) => (1, 0),
            Filter::ValuePath(ValuePath { filter, .. }) => filter.cost(),
        }
    }
}

impl From<Filter> for String {
    fn from(filter: Filter) -> Self {
        filter.to_string()
    }
}

impl TryFrom<String> for Filter {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::And(items) => {
                join(f, items, " and ", |item| matches!(item, Filter::And(_) | Filter::Or(_)))
            }
            Filter::Or(items) => join(f, items, " or ", |item| matches!(item, Filter::Or(_))),
            Filter::Not(inner) => write!(f, "not ({inner})"),
            Filter::Compare { path, op, value } => write!(f, "{path} {op} {value}"),
            Filter::Present(path) => write!(f, "{path} pr"),
            Filter::ValuePath(ValuePath { path, filter }) => write!(f, "{path}[{filter}]"),
        }
    }
}

fn join(
    f: &mut fmt::Formatter<'_>,
    items: &[Filter],
    word: &str,
    needs_group: impl Fn(&Filter) -> bool,
) -> fmt::Result {
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            f.write_str(word)?;
        }
        if needs_group(item) {
            write!(f, "({item})")?;
        } else {
            write!(f, "{item}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

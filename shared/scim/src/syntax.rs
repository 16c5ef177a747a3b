//! Filters (RFC 7644 §3.4.2.2), attribute paths (§3.10) and the paths of PATCH operations (§3.5.2, figure 7): the
//! syntax trees, and their text form, which parses to the same tree.
//!
//! `grammar` parses them, with the tolerances of `lenient`. `matches` evaluates a filter in memory, and database
//! queries must give the same results. `root` specializes a filter for one of several resource types.

mod grammar;
pub(super) mod lenient;
mod matches;
mod root;

pub use grammar::MAX_LENGTH;

use std::fmt;

pub use root::Selection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Error, echo};
use super::json::size;
use super::schema::{Attribute, ResourceType, Types};

/// `FILTER`, with the names of the RFC's grammar. It is serialized as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Filter {
    /// All must match; two or more.
    And(Vec<Filter>),
    /// At least one must match; two or more.
    Or(Vec<Filter>),
    /// The inner filter must not match.
    Not(Box<Filter>),
    /// `attrPath SP compareOp SP compValue`; the value is a JSON scalar.
    Compare {
        /// The attribute to compare.
        path: AttrPath,
        /// How.
        op: CompareOp,
        /// The literal to compare with.
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
    /// The filter that one of its values must satisfy.
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
    /// All operators with their keywords.
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

    /// The operator with this keyword, case-insensitive.
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
    /// 400 `invalidFilter`. The error repeats nothing of the filter, because it may contain personal data.
    pub fn parse(text: &str) -> Result<Self, Error> {
        grammar::parse_filter(text)
            .map_err(|refusal| Error::invalid_filter(format!("the filter {}", refusal.reason)))
    }

    /// Whether the resource, in its canonical form, satisfies the filter.
    ///
    /// # Errors
    /// 400 `invalidFilter` for attributes that are unknown or cannot be read, and for comparisons that the attribute's
    /// type does not support.
    pub fn matches(&self, resource_type: &ResourceType, resource: &Value) -> Result<bool, Error> {
        matches::resource(self, resource_type, resource)
    }

    /// Whether one value of a multi-valued attribute satisfies the filter between the brackets.
    ///
    /// # Errors
    /// As [`Filter::matches`].
    pub fn matches_element(&self, attribute: &Attribute, element: &Value) -> Result<bool, Error> {
        matches::element(self, attribute, element)
    }

    /// Specializes the filter for one of the types.
    ///
    /// # Errors
    /// 400 `invalidFilter` for an attribute that none of the types defines; otherwise as [`Filter::matches`] for each
    /// type that defines it.
    pub fn for_type(&self, types: &Types, resource_type: &ResourceType) -> Result<Selection, Error> {
        root::selection(self, types, resource_type)
    }

    /// The number of comparisons.
    pub fn terms(&self) -> usize {
        self.cost().0
    }

    /// The cost of evaluating the filter for one value: the number of comparisons, and the bytes of text to compare
    /// with.
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

/// `attrPath`: `[URI ":"] ATTRNAME ["." ATTRNAME]`, kept as text.
///
/// Both URNs and names contain dots and colons, so only the schema can tell where the URN ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttrPath(String);

impl AttrPath {
    /// Parses an attribute path.
    pub fn new(text: &str) -> Option<Self> {
        grammar::parse_attr_path(text).ok()
    }

    /// Wraps text that the grammar accepted as an attribute path.
    pub(super) fn from_grammar(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `PATH = attrPath / valuePath [subAttr]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// The attribute.
    pub attr: AttrPath,
    /// The value filter that selects among its values.
    pub filter: Option<Filter>,
    /// The sub-attribute of the selected values.
    pub sub: Option<AttrPath>,
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// 400 `invalidPath`, or `invalidFilter` if the error is in the value filter (RFC 7644 §3.12, table 9).
    pub fn parse(text: &str) -> Result<Self, Error> {
        grammar::parse_path(text).map_err(|refusal| {
            let detail = format!("the path {}", refusal.reason);
            if refusal.in_filter { Error::invalid_filter(detail) } else { Error::invalid_path(detail) }
        })
    }

    /// The attribute and sub-attribute for an error's detail. The filter is omitted, because it may contain personal
    /// data.
    pub(super) fn shown(&self) -> String {
        match &self.sub {
            Some(sub) => echo(&format!("{}.{sub}", self.attr)),
            None => echo(self.attr.as_str()),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attr)?;
        if let Some(filter) = &self.filter {
            write!(f, "[{filter}]")?;
        }
        self.sub.as_ref().map_or(Ok(()), |sub| write!(f, ".{sub}"))
    }
}

#[cfg(test)]
mod tests;

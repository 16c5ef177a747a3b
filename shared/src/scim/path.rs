//! Attribute paths (RFC 7644 §3.10) and the paths of PATCH operations (§3.5.2, figure 7).
//!
//! Before it: `grammar`, which makes them from text. After it: `ResourceType::resolve`, which finds their rows in the
//! table, and `patch`, which changes what they name.

use std::fmt;

use super::error::{Error, echo};
use super::filter::Filter;
use super::grammar;

/// `attrPath`: `[URI ":"] ATTRNAME ["." ATTRNAME]`, kept as it was written.
///
/// Where a URN ends and a name begins only the table can tell, since both have dots and colons in them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttrPath(String);

impl AttrPath {
    /// Checks the grammar.
    pub fn new(text: &str) -> Option<Self> {
        grammar::parse_attr_path(text).ok()
    }

    /// What the grammar took for an attribute path.
    pub(super) fn from_grammar(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text as it was written.
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
    /// What selects among its values.
    pub filter: Option<Filter>,
    /// The sub-attribute of the selected values.
    pub sub: Option<AttrPath>,
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// 400 `invalidPath`, or `invalidFilter` where the value filter is at fault (RFC 7644 §3.12, table 9).
    pub fn parse(text: &str) -> Result<Self, Error> {
        grammar::parse_path(text).map_err(|refusal| {
            let detail = format!("the path {}", refusal.reason);
            if refusal.in_filter { Error::invalid_filter(detail) } else { Error::invalid_path(detail) }
        })
    }

    /// The attribute and sub-attribute for an error's detail: without the filter, which may hold personal data.
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
mod tests {
    use super::super::ScimType;
    use super::*;

    #[test]
    fn paths_of_the_rfc_and_of_entra_are_understood() {
        for text in [
            "members",
            "name.familyName",
            "addresses[type eq \"work\"]",
            "members[value eq \"2819c223-7f76-453a-919d-413861904646\"]",
            "members[value eq \"2819c223-7f76-453a-919d-413861904646\"].displayName",
            "emails[type eq \"work\" and primary eq true].value",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
            "urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq \"work\"].value",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_malformed_path_is_refused_with_the_keyword_of_its_fault() {
        for (text, scim_type) in [
            ("", ScimType::InvalidPath),
            (" ", ScimType::InvalidPath),
            ("emails.", ScimType::InvalidPath),
            ("a.b.c", ScimType::InvalidPath),
            ("1a", ScimType::InvalidPath),
            ("emails[type eq \"work\"]value", ScimType::InvalidPath),
            ("emails[type eq \"work\"].", ScimType::InvalidPath),
            ("emails[type eq \"work\"", ScimType::InvalidFilter),
            ("emails[type xx \"work\"].value", ScimType::InvalidFilter),
            ("emails[]", ScimType::InvalidFilter),
            ("emails[a[b pr]]", ScimType::InvalidFilter),
        ] {
            assert_eq!(Path::parse(text).unwrap_err().scim_type, Some(scim_type), "{text}");
        }
    }
}

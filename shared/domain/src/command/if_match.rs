//! The `If-Match` header of a request (RFC 9110 §13.1.1).

use serde::{Deserialize, Serialize};

/// The `If-Match` header of a request (RFC 9110 §13.1.1): the versions that the resource may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IfMatch {
    /// `*`: any version, but the resource must exist.
    Any,
    /// One of these entity tags, as sent.
    Tags(Vec<String>),
}

impl IfMatch {
    /// Whether a resource with this entity tag may be changed. Comparison is weak: all our tags are weak (RFC 7644
    /// §3.14).
    #[must_use]
    pub fn allows(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| opaque(tag) == opaque(etag)),
        }
    }
}

impl std::str::FromStr for IfMatch {
    type Err = std::convert::Infallible;

    fn from_str(header: &str) -> Result<Self, Self::Err> {
        if header.trim() == "*" {
            return Ok(Self::Any);
        }
        Ok(Self::Tags(header.split(',').map(|tag| tag.trim().to_owned()).collect()))
    }
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_compares_weakly_and_takes_lists() {
        let some: IfMatch = r#""1", W/"3""#.parse().unwrap();
        assert!(some.allows(r#"W/"3""#) && some.allows(r#"W/"1""#) && !some.allows(r#"W/"2""#));
        assert!("*".parse::<IfMatch>().unwrap().allows(r#"W/"2""#));
    }
}

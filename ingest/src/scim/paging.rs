//! Which page of a list is asked for, and of whom (RFC 7644 §3.4.2.2, §3.4.2.4).
//!
//! Before it: the query string. After it: the list of users.

use shared::postgres::users::Lookup;
use shared::scim::discovery::MAX_RESULTS;
use shared::scim::{Error, Filter, ResourceType};
use uuid::Uuid;

use crate::http::query::Query;

/// The page size if the client names none: as Okta asks for.
const DEFAULT_COUNT: i64 = 100;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// The first result, counted from 1.
    pub start_index: i64,
    /// The most results; 0 asks for the total alone.
    pub count: i64,
}

impl Paging {
    /// Reads `startIndex` and `count`.
    ///
    /// # Errors
    /// 400 `invalidValue` for what is no integer.
    pub(super) fn of(query: &Query) -> Result<Self, Error> {
        let most = i64::try_from(MAX_RESULTS).expect("the limit is a small constant");
        let start_index = query.integer("startIndex")?.unwrap_or(1).max(1);
        let count = query.integer("count")?.unwrap_or(DEFAULT_COUNT).clamp(0, most);
        Ok(Self { start_index, count })
    }

    /// The first result, counted from 0.
    pub(super) fn offset(self) -> i64 {
        self.start_index - 1
    }
}

/// Whom the filter asks for; `None` if that can be nobody.
///
/// # Errors
/// 400 `invalidFilter` for a filter that is malformed or not supported; it is never taken for "everybody".
pub(super) fn lookup(filter: Option<&str>) -> Result<Option<Lookup>, Error> {
    let Some(text) = filter else { return Ok(Some(Lookup::All)) };
    let filter = Filter::parse(text)?;
    let unsupported = || {
        Error::invalid_filter(
            "this filter is not supported; supported are userName eq \"…\", externalId eq \"…\" and id eq \"…\"",
        )
    };
    let (name, value) = filter.as_lookup(ResourceType::user()).ok_or_else(unsupported)?;
    if !["userName", "externalId", "id"].contains(&name) {
        return Err(unsupported());
    }
    let value =
        value.as_str().ok_or_else(|| Error::invalid_filter(format!("{name} is compared with a string")))?;
    Ok(match name {
        "userName" => Some(Lookup::UserName(value.to_owned())),
        "externalId" => Some(Lookup::ExternalId(value.to_owned())),
        _ => id(value).map(Lookup::Id),
    })
}

/// An id as we write it; `id` is caseExact (RFC 7643 §3.1).
pub(super) fn id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

#[cfg(test)]
mod tests {
    use shared::scim::ScimType;

    use super::*;

    #[test]
    fn paging_keeps_within_its_bounds() {
        for (query, start_index, count) in [
            ("", 1, 100),
            ("startIndex=1&count=2", 1, 2),
            ("startIndex=0", 1, 100),
            ("startIndex=-5&count=-1", 1, 0),
            ("count=0", 1, 0),
            ("count=1000000", 1, 200),
            ("startIndex=99999999999999999999", i64::MAX, 100),
        ] {
            let paging = Paging::of(&Query::parse(query).unwrap()).unwrap();
            assert_eq!(paging, Paging { start_index, count }, "{query}");
        }
        assert!(Paging::of(&Query::parse("count=ten").unwrap()).unwrap_err().detail.contains("count"));
    }

    #[test]
    fn supported_filters_become_lookups() {
        let id = "0192aaaa-0000-7000-8000-000000000001";
        let urn = "urn:ietf:params:scim:schemas:core:2.0:User";
        for (filter, expected) in [
            (
                "userName eq \"Ann@acme.example\"".to_owned(),
                Some(Lookup::UserName("Ann@acme.example".to_owned())),
            ),
            ("USERNAME EQ \"ann\"".to_owned(), Some(Lookup::UserName("ann".to_owned()))),
            (format!("{urn}:userName eq \"ann\""), Some(Lookup::UserName("ann".to_owned()))),
            ("externalId eq \"00u1\"".to_owned(), Some(Lookup::ExternalId("00u1".to_owned()))),
            (format!("id eq \"{id}\""), Some(Lookup::Id(id.parse().unwrap()))),
            (format!("id eq \"{}\"", id.to_uppercase()), None),
            ("id eq \"7\"".to_owned(), None),
        ] {
            assert_eq!(lookup(Some(&filter)), Ok(expected), "{filter}");
        }
        assert_eq!(lookup(None), Ok(Some(Lookup::All)));
    }

    #[test]
    fn every_other_filter_is_invalid() {
        for filter in [
            "",
            "userName",
            "userName eq",
            "userName eq \"ann",
            "userName eq 7",
            "userName eq \"a\\u0000\"",
            "userName eq null",
            "userName co \"ann\"",
            "userName eq \"a\" or userName eq \"b\"",
            "not (userName eq \"a\")",
            "title eq \"x\"",
            "nothing eq \"x\"",
            "emails.value eq \"x\"",
            "active eq true",
        ] {
            let error = lookup(Some(filter)).unwrap_err();
            assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidFilter)), "{filter}");
        }
    }
}

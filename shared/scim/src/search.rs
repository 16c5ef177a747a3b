//! Search requests (RFC 7644 §3.4.2), sent as a query string or as a SearchRequest message (§3.4.3).

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::error::{Error, ScimType};
use super::json::{check_names, is_empty};
use super::projection::Projection;
use super::resource::require_urn;
use super::syntax::AttrPath;
use super::syntax::Filter;
use super::syntax::lenient;

/// The URN of the message.
pub const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// A search request in either form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchRequest {
    /// `attributes` and `excludedAttributes`.
    pub projection: Projection,
    /// `filter`.
    pub filter: Option<Filter>,
    /// `sortBy`.
    pub sort_by: Option<AttrPath>,
    /// Whether `sortOrder` is `descending`; ignored without `sort_by`.
    pub descending: bool,
    /// `startIndex`, as sent.
    pub start_index: Option<i64>,
    /// `count`, as sent.
    pub count: Option<i64>,
    /// `cursor` (RFC 9865); an empty one requests the first page.
    pub cursor: Option<String>,
}

impl SearchRequest {
    /// Parses the body of a `POST` to `/.search` (RFC 7644 §3.4.3).
    ///
    /// # Errors
    /// 400 `invalidSyntax` for a body of the wrong structure; otherwise as [`SearchRequest::of_parameters`].
    pub fn parse(body: &Value) -> Result<Self, Error> {
        let Value::Object(members) = body else {
            return Err(Error::invalid_syntax("the body must be a JSON object"));
        };
        check_names(&"", members.keys())?;
        if let Some(schemas) = member(members, "schemas").filter(|schemas| !is_empty(schemas)) {
            require_urn(SEARCH_URN, schemas)?;
        }
        Self::of(|name| member(members, name).map(|value| text_of(name, value)).transpose())
    }

    /// Parses the parameters of a query string. `parameter` returns a parameter by name.
    ///
    /// # Errors
    /// 400 `invalidFilter`, `invalidPath` for a malformed `sortBy`, `invalidValue` naming any other parameter;
    /// `invalidCount` if a cursor is combined with a count that is not an integer (RFC 9865).
    pub fn of_parameters<'p>(
        mut parameter: impl FnMut(&str) -> Result<Option<&'p str>, Error>,
    ) -> Result<Self, Error> {
        Self::of(|name| Ok(parameter(name)?.map(Cow::Borrowed)))
    }

    fn of<'p>(mut get: impl FnMut(&str) -> Result<Option<Cow<'p, str>>, Error>) -> Result<Self, Error> {
        let (attributes, excluded) = (get("attributes")?, get("excludedAttributes")?);
        let cursor = get("cursor")?.map(Cow::into_owned);
        let count = match (integer("count", get("count")), &cursor) {
            (Err(error), Some(_)) => return Err(Error::bad_request(ScimType::InvalidCount, error.detail)),
            (count, _) => count?,
        };
        Ok(Self {
            projection: Projection::parse(attributes.as_deref(), excluded.as_deref())?,
            filter: get("filter")?.map(|filter| Filter::parse(&filter)).transpose()?,
            sort_by: sort_by(get("sortBy")?.as_deref())?,
            descending: is_descending(get("sortOrder")?.as_deref())?,
            start_index: integer("startIndex", get("startIndex"))?,
            count,
            cursor,
        })
    }
}

fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = members.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

/// A member of the message in the text form of the query parameter.
fn text_of<'v>(name: &str, value: &'v Value) -> Result<Cow<'v, str>, Error> {
    let wrong = |what: &str| Err(Error::invalid_value(format!("{name} must be {what}")));
    match (name, value) {
        ("attributes" | "excludedAttributes", value) => match lenient::names(value) {
            Some(names) => Ok(Cow::Owned(names)),
            None => wrong("a list of attributes"),
        },
        ("startIndex" | "count", Value::Number(number)) => Ok(Cow::Owned(number.to_string())),
        ("startIndex" | "count", Value::String(text)) => Ok(Cow::Borrowed(text)),
        ("startIndex" | "count", _) => wrong("an integer"),
        (_, Value::String(text)) => Ok(Cow::Borrowed(text)),
        _ => wrong("a string"),
    }
}

fn integer(name: &str, given: Result<Option<Cow<'_, str>>, Error>) -> Result<Option<i64>, Error> {
    let Some(text) = given? else { return Ok(None) };
    match lenient::integer(&text) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::invalid_value(format!("{name} must be an integer"))),
    }
}

fn sort_by(path: Option<&str>) -> Result<Option<AttrPath>, Error> {
    let path = path.filter(|path| !path.is_empty());
    let malformed = || Error::invalid_path("sortBy must be an attribute path");
    path.map(|path| AttrPath::new(path).ok_or_else(malformed)).transpose()
}

fn is_descending(order: Option<&str>) -> Result<bool, Error> {
    match order {
        None | Some("") => Ok(false),
        Some(order) if lenient::is_word(order, "ascending") => Ok(false),
        Some(order) if lenient::is_word(order, "descending") => Ok(true),
        Some(_) => Err(Error::invalid_value("sortOrder must be ascending or descending")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(members: Value) -> Result<SearchRequest, Error> {
        SearchRequest::parse(&members)
    }

    #[test]
    fn message_and_query_string_give_the_same_request() {
        let body = json!({
            "schemas": [SEARCH_URN], "attributes": ["userName", "emails.value"], "filter": "title pr",
            "sortBy": "name.familyName", "sortOrder": "Descending", "startIndex": 3, "count": 20, "cursor": "",
        });
        let parameters = [
            ("attributes", "userName,emails.value"),
            ("filter", "title pr"),
            ("sortBy", "name.familyName"),
            ("sortOrder", "descending"),
            ("startIndex", "3"),
            ("count", "20"),
            ("cursor", ""),
        ];
        let of_string = SearchRequest::of_parameters(|name| {
            Ok(parameters.iter().find(|(given, _)| *given == name).map(|(_, value)| *value))
        });
        let expected = SearchRequest {
            projection: Projection::parse(Some("userName,emails.value"), None).unwrap(),
            filter: Some(Filter::parse("title pr").unwrap()),
            sort_by: AttrPath::new("name.familyName"),
            descending: true,
            start_index: Some(3),
            count: Some(20),
            cursor: Some(String::new()),
        };
        assert_eq!(parsed(body).as_ref(), Ok(&expected));
        assert_eq!(of_string, Ok(expected));
        assert_eq!(SearchRequest::of_parameters(|_| Ok(None)), Ok(SearchRequest::default()));
        assert_eq!(parsed(json!({})), Ok(SearchRequest::default()));
    }

    #[test]
    fn tolerated_forms_of_members_are_accepted() {
        let text =
            parsed(json!({ "ExcludedAttributes": "members, groups", "COUNT": "7", "startIndex": " -1" }));
        let list =
            parsed(json!({ "excludedAttributes": ["members", "groups"], "count": 7, "startIndex": -1 }));
        assert_eq!(text, list);
        let none =
            json!({ "attributes": null, "filter": null, "sortBy": "", "sortOrder": "", "attributes2": 1 });
        assert_eq!(parsed(none), Ok(SearchRequest::default()));
        assert_eq!(
            parsed(json!({ "count": 99_999_999_999_999_999_999_u128.to_string() })).unwrap().count,
            Some(i64::MAX)
        );
    }

    #[test]
    fn an_invalid_parameter_is_rejected_with_an_error_that_names_it() {
        use ScimType::{InvalidCount, InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue};
        for (body, scim_type, named) in [
            (json!([]), InvalidSyntax, "object"),
            (json!({ "count": 1, "Count": 2 }), InvalidSyntax, "given twice"),
            (json!({ "schemas": "x" }), InvalidSyntax, "schemas"),
            (json!({ "schemas": ["urn:x"] }), InvalidValue, "schemas"),
            (json!({ "filter": 7 }), InvalidValue, "filter must be a string"),
            (json!({ "filter": "" }), InvalidFilter, "filter"),
            (json!({ "filter": "title" }), InvalidFilter, "filter"),
            (json!({ "attributes": [7] }), InvalidValue, "attributes must be a list"),
            (json!({ "attributes": { "a": 1 } }), InvalidValue, "attributes must be a list"),
            (json!({ "attributes": ["a"], "excludedAttributes": ["b"] }), InvalidValue, "excludedAttributes"),
            (json!({ "sortBy": ["a"] }), InvalidValue, "sortBy must be a string"),
            (json!({ "sortBy": "a b" }), InvalidPath, "sortBy"),
            (json!({ "sortOrder": "up" }), InvalidValue, "sortOrder"),
            (json!({ "startIndex": 1.5 }), InvalidValue, "startIndex must be an integer"),
            (json!({ "startIndex": "one" }), InvalidValue, "startIndex must be an integer"),
            (json!({ "count": true }), InvalidValue, "count must be an integer"),
            (json!({ "count": [], "cursor": "" }), InvalidCount, "count must be an integer"),
            (json!({ "count": "ten", "cursor": "x" }), InvalidCount, "count must be an integer"),
            (json!({ "cursor": 7 }), InvalidValue, "cursor must be a string"),
        ] {
            let error = parsed(body).expect_err(named);
            assert_eq!((error.status, error.scim_type), (400, Some(scim_type)), "{error}");
            assert!(error.detail.contains(named), "{} should name {named}", error.detail);
        }
    }
}

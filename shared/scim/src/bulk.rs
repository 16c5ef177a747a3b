//! Bulk request and response messages (RFC 7644 §3.7).
//!
//! Only the structure is checked here. Each operation is parsed and performed separately, and an error in one operation
//! is the result of that operation alone.

use serde_json::{Map, Value, json};

use super::error::Error;
use super::json::{check_names, is_empty};
use super::resource::require_urn;

/// The URN of a bulk request.
pub const BULK_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// The URN of a bulk response.
pub const BULK_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// `bulk.maxOperations` of the ServiceProviderConfig: the maximum number of operations in one request.
pub const MAX_BULK_OPERATIONS: usize = 1000;

/// A bulk request.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkRequest {
    /// The number of errors after which processing stops; `None` means no limit.
    pub fail_on_errors: Option<usize>,
    /// The operations, in the order in which they were sent.
    pub operations: Vec<BulkOperation>,
}

/// One operation, as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkOperation {
    /// `method`
    pub method: String,
    /// `path`, relative to the base URL.
    pub path: String,
    /// `bulkId`, by which other operations refer to the resource that a POST creates.
    pub bulk_id: Option<String>,
    /// `version`, in the form of an If-Match header.
    pub version: Option<String>,
    /// `data`, the body of the equivalent single request.
    pub data: Option<Value>,
}

impl BulkRequest {
    /// Reads the body of a POST to `/Bulk`.
    ///
    /// # Errors
    /// 400 `invalidSyntax` or `invalidValue`, naming the malformed part; 413 for more operations than
    /// [`MAX_BULK_OPERATIONS`].
    pub fn parse(body: &Value) -> Result<Self, Error> {
        let Value::Object(members) = body else {
            return Err(Error::invalid_syntax("the body must be a JSON object"));
        };
        check_names(&"", members.keys())?;
        if let Some(schemas) = member(members, "schemas").filter(|schemas| !is_empty(schemas)) {
            require_urn(BULK_REQUEST_URN, schemas)?;
        }
        let Some(Value::Array(operations)) = member(members, "Operations") else {
            return Err(Error::invalid_syntax("Operations must be a list"));
        };
        if operations.len() > MAX_BULK_OPERATIONS {
            let count = operations.len();
            return Err(Error::payload_too_large(format!(
                "Operations has {count} operations; at most {MAX_BULK_OPERATIONS} are allowed (maxOperations)"
            )));
        }
        let fail_on_errors = member(members, "failOnErrors").map(fail_on_errors).transpose()?.flatten();
        let operations =
            operations.iter().enumerate().map(|(at, operation)| BulkOperation::parse(at, operation));
        Ok(Self { fail_on_errors, operations: operations.collect::<Result<_, _>>()? })
    }
}

impl BulkOperation {
    fn parse(at: usize, operation: &Value) -> Result<Self, Error> {
        let place = format!("Operations[{at}]");
        let Value::Object(members) = operation else {
            return Err(Error::invalid_syntax(format!("{place} must be an object")));
        };
        check_names(&place, members.keys())?;
        let text = |name: &str| match member(members, name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Error::invalid_syntax(format!("{place}.{name} must be a string"))),
        };
        let required = |name: &str| {
            text(name)?.ok_or_else(|| Error::invalid_syntax(format!("{place}.{name} is required")))
        };
        Ok(Self {
            method: required("method")?,
            path: required("path")?,
            bulk_id: text("bulkId")?.filter(|bulk_id| !bulk_id.is_empty()),
            version: text("version")?,
            data: member(members, "data").cloned(),
        })
    }
}

/// `failOnErrors`. Clients send 0 for "no limit". Strings and `3.0` are accepted as integers.
fn fail_on_errors(value: &Value) -> Result<Option<usize>, Error> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    let count = text.strip_suffix(".0").unwrap_or(&text).parse::<usize>();
    let count = count.map_err(|_| Error::invalid_value("failOnErrors must be an integer, at least 0"))?;
    Ok((count > 0).then_some(count))
}

/// The bulk response, with the results of the operations that were performed.
pub fn bulk_response(operations: Vec<Value>) -> Value {
    json!({ "schemas": [BULK_RESPONSE_URN], "Operations": operations })
}

fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = members.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScimType;

    #[test]
    fn a_bulk_request_is_parsed_with_all_its_fields() {
        let read = BulkRequest::parse(&json!({
            "schemas": [BULK_REQUEST_URN], "FailOnErrors": 1, "Operations": [
                { "method": "POST", "path": "/Users", "bulkId": "a", "data": { "userName": "ann" } },
                { "METHOD": "delete", "path": "/Users/1", "version": "W/\"3\"", "bulkId": "", "data": null },
            ],
        }));
        let operation = |method: &str, path: &str| BulkOperation {
            method: method.to_owned(),
            path: path.to_owned(),
            bulk_id: None,
            version: None,
            data: None,
        };
        let expected = BulkRequest {
            fail_on_errors: Some(1),
            operations: vec![
                BulkOperation {
                    bulk_id: Some("a".to_owned()),
                    data: Some(json!({ "userName": "ann" })),
                    ..operation("POST", "/Users")
                },
                BulkOperation { version: Some("W/\"3\"".to_owned()), ..operation("delete", "/Users/1") },
            ],
        };
        assert_eq!(read, Ok(expected));
        let empty = BulkRequest { fail_on_errors: None, operations: Vec::new() };
        assert_eq!(BulkRequest::parse(&json!({ "Operations": [], "failOnErrors": null })), Ok(empty));
    }

    #[test]
    fn fail_on_errors_zero_or_null_means_no_limit() {
        for (sent, expected) in [
            (json!(null), None),
            (json!(0), None),
            (json!("0"), None),
            (json!(0.0), None),
            (json!(1), Some(1)),
            (json!("2"), Some(2)),
            (json!(3.0), Some(3)),
        ] {
            let body = json!({ "Operations": [], "failOnErrors": sent });
            assert_eq!(
                BulkRequest::parse(&body).map(|request| request.fail_on_errors),
                Ok(expected),
                "{sent}"
            );
        }
    }

    #[test]
    fn a_malformed_bulk_request_is_rejected_with_the_position_of_the_fault() {
        use ScimType::{InvalidSyntax, InvalidValue};
        let one =
            |operation: Value| json!({ "Operations": [{ "method": "POST", "path": "/Users" }, operation] });
        for (body, scim_type, named) in [
            (json!([]), InvalidSyntax, "object"),
            (json!({}), InvalidSyntax, "Operations must be a list"),
            (json!({ "Operations": {} }), InvalidSyntax, "Operations must be a list"),
            (json!({ "Operations": [], "operations": [] }), InvalidSyntax, "given twice"),
            (json!({ "Operations": [], "schemas": ["urn:x"] }), InvalidValue, "schemas"),
            (json!({ "Operations": [], "failOnErrors": -1 }), InvalidValue, "failOnErrors"),
            (json!({ "Operations": [], "failOnErrors": "-1" }), InvalidValue, "failOnErrors"),
            (json!({ "Operations": [], "failOnErrors": 0.5 }), InvalidValue, "failOnErrors"),
            (json!({ "Operations": [], "failOnErrors": "" }), InvalidValue, "failOnErrors"),
            (json!({ "Operations": [], "failOnErrors": true }), InvalidValue, "failOnErrors"),
            (one(json!("POST")), InvalidSyntax, "Operations[1] must be an object"),
            (one(json!({ "path": "/Users" })), InvalidSyntax, "Operations[1].method is required"),
            (one(json!({ "method": "POST" })), InvalidSyntax, "Operations[1].path is required"),
            (one(json!({ "method": 7, "path": "" })), InvalidSyntax, "Operations[1].method must be a string"),
            (one(json!({ "method": "PUT", "path": "", "bulkId": 7 })), InvalidSyntax, "Operations[1].bulkId"),
            (
                one(json!({ "method": "PUT", "path": "", "version": 7 })),
                InvalidSyntax,
                "Operations[1].version",
            ),
            (
                one(json!({ "method": "PUT", "Method": "" })),
                InvalidSyntax,
                "Operations[1].method is given twice",
            ),
        ] {
            let error = BulkRequest::parse(&body).expect_err(named);
            assert_eq!((error.status, error.scim_type), (400, Some(scim_type)), "{error}");
            assert!(error.detail.contains(named), "{} should name {named}", error.detail);
        }
    }

    #[test]
    fn too_many_operations_are_rejected_with_the_limit() {
        let operation = json!({ "method": "DELETE", "path": "/Users/1" });
        let many =
            |count: usize| BulkRequest::parse(&json!({ "Operations": vec![operation.clone(); count] }));
        assert!(many(MAX_BULK_OPERATIONS).is_ok());
        let error = many(MAX_BULK_OPERATIONS + 1).unwrap_err();
        assert_eq!(error.status, 413);
        assert!(error.detail.contains("1000"), "{error}");
    }
}

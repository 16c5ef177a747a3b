//! The ListResponse message (RFC 7644 §3.4.2, RFC 9865).

use serde_json::{Value, json};

/// The URN of the message.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// One page. The numbers are JSON integers: Okta silently stops at strings.
///
/// A page by index has a `start_index` (from 1). A page by cursor has a `next_cursor` instead, unless it is the last
/// one (RFC 9865).
pub fn list_response(
    resources: Vec<Value>,
    total: i64,
    start_index: Option<i64>,
    next_cursor: Option<String>,
) -> Value {
    let mut list = json!({
        "schemas": [LIST_URN],
        "totalResults": total,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    });
    if let Some(start_index) = start_index {
        list["startIndex"] = Value::from(start_index);
    }
    if let Some(next_cursor) = next_cursor {
        list["nextCursor"] = Value::from(next_cursor);
    }
    list
}

//! The ListResponse message (RFC 7644 §3.4.2).
//!
//! Before it: a query's page of representations, or discovery's. After it: the HTTP answer.

use serde_json::{Value, json};

/// The URN of the message.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// One page. The numbers are JSON integers: Okta stops silently at strings.
pub fn list_response(resources: Vec<Value>, total: i64, start_index: i64) -> Value {
    json!({
        "schemas": [LIST_URN],
        "totalResults": total,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

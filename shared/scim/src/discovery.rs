//! Service discovery (RFC 7644 §4; RFC 7643 §5 to §7): configuration, resource types and schemas, including those that
//! the tenant registered. The limits shown are the constants that the services enforce.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bulk::MAX_BULK_OPERATIONS;
use super::list::list_response;
use super::schema::{ResourceType, Schema, Types};

/// The maximum number of resources in one response to a query.
pub const MAX_RESULTS: usize = 200;
/// The number of resources in one response to a query without `count`.
pub const DEFAULT_PAGE_SIZE: usize = 100;
/// How long a cursor stays valid (RFC 9865), in seconds.
pub const CURSOR_TIMEOUT_SECONDS: u32 = 3600;

const CONFIG_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const ASYNC_RESPONSE_URN: &str = "urn:ietf:params:scim:event:misc:asyncresp";
const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// What `/ServiceProviderConfig` lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discovery {
    /// Everything that the server supports.
    #[default]
    Full,
    /// The same without `securityEvents` (RFC 9967), which strict clients reject as unknown.
    Core,
}

/// `/ServiceProviderConfig` (RFC 7643 §5; RFC 9865 and RFC 9967 add to it). `max_payload` is the maximum size of a body
/// in bytes; `discovery` selects the full or the core configuration.
pub fn service_provider_config(base_url: &str, max_payload: usize, discovery: Discovery) -> Value {
    let mut config = json!({
        "schemas": [CONFIG_URN],
        "patch": { "supported": true },
        "bulk": { "supported": true, "maxOperations": MAX_BULK_OPERATIONS, "maxPayloadSize": max_payload },
        "filter": { "supported": true, "maxResults": MAX_RESULTS },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_PAGE_SIZE,
            "maxPageSize": MAX_RESULTS,
            "cursorTimeout": CURSOR_TIMEOUT_SECONDS,
        },
        "authenticationSchemes": [
            {
                "type": "httpbasic",
                "name": "HTTP Basic",
                "description": "The tenant's name as the username, an API key as the password",
                "specUri": "https://www.rfc-editor.org/info/rfc7617",
                "primary": true,
            },
            {
                "type": "oauthbearertoken",
                "name": "OAuth Bearer Token",
                "description": "An API key as the bearer token",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": false,
            },
        ],
        "meta": meta(base_url, "ServiceProviderConfig", "/ServiceProviderConfig"),
    });
    if discovery == Discovery::Full {
        config["securityEvents"] = json!({ "asyncRequest": "request", "eventUris": [ASYNC_RESPONSE_URN] });
    }
    config
}

/// `/ResourceTypes` (RFC 7643 §6).
pub fn resource_types(base_url: &str, types: &Types) -> Value {
    listed(types.iter().map(|resource_type| describe_type(base_url, resource_type)).collect())
}

/// `/ResourceTypes/{name}`; the name is case-insensitive.
pub fn resource_type(base_url: &str, types: &Types, name: &str) -> Option<Value> {
    let found = types.iter().find(|resource_type| resource_type.name.eq_ignore_ascii_case(name))?;
    Some(describe_type(base_url, found))
}

/// `/Schemas` (RFC 7643 §7).
pub fn schemas(base_url: &str, types: &Types) -> Value {
    listed(
        types
            .iter()
            .flat_map(ResourceType::schemas)
            .map(|schema| describe_schema(base_url, schema))
            .collect(),
    )
}

/// `/Schemas/{URN}`; the URN is case-insensitive.
pub fn schema(base_url: &str, types: &Types, urn: &str) -> Option<Value> {
    let found =
        types.iter().flat_map(ResourceType::schemas).find(|schema| schema.id.eq_ignore_ascii_case(urn))?;
    Some(describe_schema(base_url, found))
}

fn listed(resources: Vec<Value>) -> Value {
    let total = i64::try_from(resources.len()).expect("a tenant's schemas are bounded");
    list_response(resources, total, Some(1), None)
}

fn describe_type(base_url: &str, resource_type: &ResourceType) -> Value {
    let extensions: Vec<Value> = resource_type
        .extensions
        .iter()
        .map(|schema| json!({ "schema": schema.id, "required": false }))
        .collect();
    json!({
        "schemas": [RESOURCE_TYPE_URN],
        "id": resource_type.name,
        "name": resource_type.name,
        "description": resource_type.description,
        "endpoint": resource_type.endpoint,
        "schema": resource_type.schema.id,
        "schemaExtensions": extensions,
        "meta": meta(base_url, "ResourceType", &format!("/ResourceTypes/{}", resource_type.name)),
    })
}

fn describe_schema(base_url: &str, schema: &Schema) -> Value {
    json!({
        "schemas": [SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": schema.describe(),
        "meta": meta(base_url, "Schema", &format!("/Schemas/{}", schema.id)),
    })
}

fn meta(base_url: &str, resource_type: &str, endpoint: &str) -> Value {
    json!({ "resourceType": resource_type, "location": format!("{}{endpoint}", base_url.trim_end_matches('/')) })
}

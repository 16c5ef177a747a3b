//! SCIM 2.0 (RFC 7643, RFC 7644), without queues and databases.
//!
//! `json` parses a body, which is validated against `schema` and becomes a `Resource` or a `Patch`. The worker stores a
//! `Record`, and `Record::represent` renders it. Invalid requests result in an `Error`.

mod applied;
mod bulk;
mod case;
pub mod discovery;
mod draft;
mod error;
mod group;
mod id;
mod json;
mod known;
pub mod leaver;
mod list;
mod patch;
mod projection;
mod record;
mod resource;
pub mod schema;
mod search;
mod search_document;
pub mod syntax;
mod urn;
mod value;

pub use value::as_boolean;
pub use value::lenient::{compared, compared_part, instant};

pub use applied::Applied;
pub use bulk::{
    BULK_REQUEST_URN, BULK_RESPONSE_URN, BulkOperation, BulkRequest, MAX_BULK_OPERATIONS, bulk_response,
};
pub use case::user_name_key;
pub use error::{ERROR_URN, Error, ScimType};
pub use group::{Displays, Group, GroupPatch, MemberChange, selects_member};
pub use id::parse as parse_id;
pub use json::{MAX_DEPTH, parse_json};
pub use known::known_names;
pub use leaver::Misfit;
pub use list::{LIST_URN, list_response};
pub use patch::{MAX_OPERATIONS, Op, Operation, PATCH_URN, Patch};
pub use projection::Projection;
pub use record::{Computed, Record, Related, timestamp};
pub use resource::Resource;
pub use schema::{ENTERPRISE_URN, GROUP_URN, ResourceType, Types, USER_URN};
pub use search::{SEARCH_URN, SearchRequest};
pub use search_document::{folded_instant, folded_text, search_document};
pub use syntax::lenient::{below_base, holds_ids, is_method};
pub use syntax::{Filter, Selection};

#[cfg(test)]
mod tests;

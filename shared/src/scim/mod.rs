//! SCIM 2.0 (RFC 7643, RFC 7644): no queue, no database.
//!
//! A body comes in by `json`, is held against the table in `schema`, and becomes a `Resource` or a `Patch`. The worker
//! keeps `Record`s of them; `Record::represent` shows them again. Whatever cannot be is an `Error`.

mod bulk;
mod case;
mod dialect;
pub mod discovery;
mod draft;
mod error;
pub mod filter;
mod folded;
mod grammar;
mod group;
mod json;
mod leaver;
mod list;
mod patch;
pub mod path;
mod projection;
mod record;
mod resource;
pub mod schema;
mod search;
mod value;

pub(crate) use dialect::compared_part;
pub(crate) use dialect::values::{compared, instant};
pub(crate) use value::as_boolean;

pub use bulk::{
    BULK_REQUEST_URN, BULK_RESPONSE_URN, BulkOperation, BulkRequest, MAX_BULK_OPERATIONS, bulk_response,
};
pub use case::user_name_key;
pub use dialect::{below_base, holds_ids, is_method};
pub use error::{ERROR_URN, Error, ScimType};
pub use filter::{Filter, Selection};
pub use folded::{folded, folded_instant, folded_text};
pub use group::{Displays, Group, GroupPatch, MemberChange};
pub use json::{MAX_DEPTH, parse_json};
pub use leaver::{Applied, Misfit};
pub use list::{LIST_URN, list_response};
pub use patch::{MAX_OPERATIONS, Op, Operation, PATCH_URN, Patch};
pub use projection::Projection;
pub use record::{Computed, Record, Related, timestamp};
pub use resource::Resource;
pub use schema::{ENTERPRISE_URN, GROUP_URN, ResourceType, Types, USER_URN};
pub use search::{SEARCH_URN, SearchRequest};

#[cfg(test)]
mod tests;

//! HTTP without SCIM: parsing of headers, queries and bodies, and the form of all responses.

pub mod base_url;
pub mod body;
pub mod observe;
pub mod panics;
pub mod path;
pub mod preconditions;
pub mod prefer;
pub mod query;
pub mod response;
pub mod rows;
pub mod sent;
pub mod tally;

//! HTTP itself, without SCIM's contents: what comes before a handler looks at a request, and the form of all answers.

pub mod answer;
pub mod base_url;
pub mod body;
pub mod observe;
pub mod panics;
pub mod path;
pub mod preconditions;
pub mod prefer;
pub mod query;
pub mod rows;

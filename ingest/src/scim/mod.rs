//! The SCIM endpoints (RFC 7644 §3 and §4).
//!
//! Before them: the caller's key. After them: Postgres for a read, the road for a change.

pub mod asynchronous;
pub mod bulk;
mod context;
pub mod discovery;
pub mod kind;
pub mod list;
mod read;
pub mod resources;
mod shown;

use shared::scim::Error;

use crate::auth::Scim;
use crate::http::answer::Refusal;

/// Where SCIM is served.
pub const BASE_PATH: &str = "/scim/v2";

/// `/Me` (RFC 7644 §3.11).
pub async fn not_implemented(_: Scim) -> Refusal {
    Error::not_implemented("this server has no such endpoint; /ServiceProviderConfig says what it has").into()
}

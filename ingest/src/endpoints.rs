//! The SCIM endpoints (RFC 7644 §3 and §4).

pub mod asynchronous;
pub mod bulk;
mod context;
pub mod discovery;
pub mod kind;
pub mod list;
mod read;
mod resource_response;
pub mod resources;

use scim::Error;

use crate::admission::Scim;
use crate::http::response::Refusal;

/// `/Me` (RFC 7644 §3.11).
pub async fn not_implemented(_: Scim) -> Refusal {
    Error::not_implemented("this server does not support /Me; /ServiceProviderConfig lists what it supports")
        .into()
}

//! Whether a key may be used from where a request comes from.

use axum::http::Extensions;
use database::keys::Key;
use platform::http::Peer;
use scim::Error;

/// Checks that the client's address is in one of the key's networks, if it has any.
///
/// # Errors
/// 403. Only a client with the right key gets it, and learns nothing about the networks.
pub(super) fn check(key: &Key, request: &Extensions) -> Result<(), Error> {
    let address = request.get().map(|Peer(address)| address.ip());
    if key.admits(address) {
        return Ok(());
    }
    Err(Error::forbidden("this API key may not be used from this address"))
}

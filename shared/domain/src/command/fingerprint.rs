//! Digests that recognize a repeated request and find a userName.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use scim::user_name_key;

/// SHA-256 over tenant, method, path, body and `If-Match`. Requests with the same fingerprint count as the same
/// request, so that a repeated request can receive an outcome that was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a request.
    #[must_use]
    pub fn of(tenant: Uuid, method: &str, path: &str, body: &[u8], if_match: Option<&str>) -> Self {
        let if_match = if_match.unwrap_or("").as_bytes();
        Self(sha256([tenant.as_bytes(), method.as_bytes(), path.as_bytes(), if_match, body]))
    }

    /// From storage.
    #[must_use]
    pub fn stored(hex: String) -> Self {
        Self(hex)
    }

    /// As lower-case hexadecimal.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 over tenant and userName (case-insensitive), in lower-case hexadecimal. The activity log finds changes of a
/// userName by it without storing the userName.
#[must_use]
pub fn name_digest(tenant: Uuid, user_name: &str) -> String {
    sha256([tenant.as_bytes(), user_name_key(user_name).as_bytes()])
}

fn sha256<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    hex::encode(sha.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_differ_when_any_part_of_the_request_differs() {
        let tenant = Uuid::nil();
        let base = Fingerprint::of(tenant, "PUT", "/Users/1", b"{}", None);
        assert_eq!(base, Fingerprint::of(tenant, "PUT", "/Users/1", b"{}", None));
        for other in [
            Fingerprint::of(Uuid::max(), "PUT", "/Users/1", b"{}", None),
            Fingerprint::of(tenant, "PATCH", "/Users/1", b"{}", None),
            Fingerprint::of(tenant, "PUT", "/Users/1{", b"}", None),
            Fingerprint::of(tenant, "PUT", "/Users/1", b"{}", Some("*")),
        ] {
            assert_ne!(base, other);
        }
    }
}

//! Any bytes parse to a PATCH or an error. A patch is unchanged by serialization for the queue, and its result is
//! canonical: parsing the result as a body yields the same resource.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use scim::{GroupPatch, Patch, Resource, ResourceType, leaver, parse_json};

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = parse_json(bytes) else { return };
    if let Ok(patch) = Patch::parse(&body) {
        let travelled = travelled(&patch);
        assert_eq!(travelled, patch);
        let applied = leaver::patched(&patch, ResourceType::user(), &fuzz::USER);
        assert_eq!(leaver::patched(&travelled, ResourceType::user(), &fuzz::USER), applied);
        if let Ok(after) = applied {
            assert_canonical(&after.resource);
        }
    }
    if let Ok(patch) = GroupPatch::parse(ResourceType::group(), &body) {
        assert_eq!(travelled(&patch), patch);
    }
});

/// The message as it arrives at a worker.
fn travelled<T: Serialize + DeserializeOwned>(message: &T) -> T {
    let text = serde_json::to_vec(message).expect("a message is JSON");
    serde_json::from_slice(&text).expect("a serialized message can be parsed")
}

/// Asserts that the resource, parsed as a body, stays the same.
fn assert_canonical(user: &Resource) {
    let body = Value::Object(user.members().clone());
    let again = Resource::parse(ResourceType::user(), &body).expect("a stored resource is a valid body");
    assert_eq!(&again, user);
}

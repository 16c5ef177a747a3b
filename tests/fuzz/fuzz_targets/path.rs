//! Any text parses to a path or an error. A path's printed form parses to the same path, and it can be applied to any
//! resource.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use scim::syntax::Path;
use scim::{Patch, ResourceType};

fuzz_target!(|text: &str| {
    let Ok(path) = Path::parse(text) else { return };
    let printed = path.to_string();
    match Path::parse(&printed) {
        Ok(again) => assert_eq!(again, path),
        // The printed form may be too long.
        Err(_) => assert!(printed.len() > text.len(), "{printed:?} is rejected"),
    }
    for (op, value) in [
        ("add", json!("work")),
        ("replace", json!({ "value": "work", "primary": true })),
        ("remove", Value::Null),
    ] {
        let body = json!({ "Operations": [{ "op": op, "path": text, "value": value }] });
        if let Ok(patch) = Patch::parse(&body) {
            // The target `patch` checks the results.
            let _ = patch.apply(ResourceType::user(), &fuzz::USER);
        }
    }
});

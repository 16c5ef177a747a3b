//! Any text parses to a filter or an error. A filter's printed form parses to the same filter, and it can be evaluated
//! for any resource.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scim::{Filter, ResourceType};

fuzz_target!(|text: &str| {
    let Ok(filter) = Filter::parse(text) else { return };
    let printed = filter.to_string();
    match Filter::parse(&printed) {
        Ok(again) => assert_eq!(again, filter),
        // The printed form may be too long.
        Err(_) => assert!(printed.len() > text.len(), "{printed:?} is rejected"),
    }
    for resource_type in [ResourceType::user(), ResourceType::group()] {
        let answer = filter.matches(resource_type, &fuzz::SHOWN);
        let negated = Filter::Not(Box::new(filter.clone())).matches(resource_type, &fuzz::SHOWN);
        assert_eq!(negated, answer.map(|matches| !matches));
    }
});

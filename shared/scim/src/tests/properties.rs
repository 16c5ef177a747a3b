//! Properties that hold for any input.

use proptest::prelude::*;
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use super::{generate, groups, patched};
use crate::schema::Schema;
use crate::syntax::Path;
use crate::{BulkRequest, Filter, Group, GroupPatch, Projection, Record, SearchRequest, parse_json};

fn represented(resource: &Resource) -> Value {
    let now = OffsetDateTime::UNIX_EPOCH;
    let record =
        Record { id: Uuid::nil(), resource: resource.clone(), created: now, last_modified: now, version: 1 };
    record.represent(ResourceType::user(), "https://acme.example/scim/v2", None, &Projection::all())
}

/// Parsing a representation yields the stored resource.
fn assert_canonical(resource: &Resource) {
    let active = resource.active().unwrap_or(true);
    let again = Resource::parse(ResourceType::user(), &represented(resource)).unwrap();
    assert_eq!(again, resource.clone().with_active(active));
}

proptest! {
    // Failing cases are added to the tables by hand, not to a regression file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printed_filters_parse_to_themselves(filter in generate::filter()) {
        let text = filter.to_string();
        prop_assume!(text.len() <= 8192);
        match Filter::parse(&text) {
            Ok(parsed) => prop_assert_eq!(parsed, filter),
            Err(error) => prop_assert!(error.detail.contains("deeply") || error.detail.contains("terms"), "{} {}", text, error),
        }
    }

    #[test]
    fn any_text_is_a_filter_or_an_error(text in ".{0,60}", words in "(userName|emails|type|eq|pr|and|or|not|\\(|\\)|\\[|\\]|\"|x|\\.| ){0,20}") {
        for text in [text, words] {
            let filter = Filter::parse(&text);
            let path = Path::parse(&text);
            if let Ok(filter) = filter {
                prop_assert_eq!(&Filter::parse(&filter.to_string()).unwrap(), &filter);
                let _ = filter.matches(ResourceType::user(), &body(json!({})));
            }
            if let Ok(path) = path {
                prop_assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
            }
        }
    }

    #[test]
    fn any_bytes_are_json_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64), json in generate::any_json()) {
        let _ = parse_json(&bytes);
        let text = json.to_string();
        if let Ok(read) = parse_json(text.as_bytes()) {
            prop_assert_eq!(read, serde_json::from_str::<Value>(&text).unwrap());
        }
    }

    #[test]
    fn any_json_is_a_resource_or_an_error(any in generate::any_json(), near in generate::near_user()) {
        for body in [any, near] {
            if let Ok(resource) = Resource::parse(ResourceType::user(), &body) {
                assert_canonical(&resource);
            }
        }
    }

    #[test]
    fn a_representation_parses_to_the_stored_resource(user in generate::user()) {
        assert_canonical(&Resource::parse(ResourceType::user(), &user).unwrap());
    }

    #[test]
    fn any_json_is_a_patch_or_an_error(user in generate::user(), any in generate::any_json(), near in generate::near_patch()) {
        let user = Resource::parse(ResourceType::user(), &user).unwrap();
        for body in [any, near] {
            let Ok(patch) = Patch::parse(&body) else { continue };
            let message = serde_json::to_value(&patch).unwrap();
            prop_assert_eq!(&serde_json::from_value::<Patch>(message).unwrap(), &patch);
            if let Ok(after) = crate::leaver::patched(&patch, ResourceType::user(), &user) {
                assert_canonical(&after.resource);
            }
        }
    }

    #[test]
    fn a_deactivation_succeeds_whatever_else_is_requested(user in generate::user(), patch in generate::near_patch(), put in generate::near_user()) {
        let user = Resource::parse(ResourceType::user(), &user).unwrap();
        let mut patch = patch;
        if let Some(Value::Array(operations)) = patch.get_mut("Operations") {
            operations.push(json!({ "op": "replace", "path": "active", "value": "False" }));
            if let Ok(patch) = Patch::parse(&patch) {
                let after = crate::leaver::patched(&patch, ResourceType::user(), &user).unwrap().resource;
                prop_assert_eq!(after.active(), Some(false));
                assert_canonical(&after);
            }
        }
        let mut put = put;
        if let Value::Object(members) = &mut put {
            members.insert("active".to_owned(), json!(false));
        }
        if let Ok((sent, misfit)) = crate::leaver::read(ResourceType::user(), &put)
            && sent.active() == Some(false)
        {
            let after = crate::leaver::put(sent, ResourceType::user(), &user, misfit.as_ref()).unwrap().resource;
            prop_assert_eq!(after.active(), Some(false));
            assert_canonical(&after);
        }
    }

    #[test]
    fn a_replayed_operation_changes_nothing(user in generate::user(), operation in generate::near_operation()) {
        let user = Resource::parse(ResourceType::user(), &user).unwrap();
        if let Ok(once) = patched(&user, json!([operation]))
            && let Ok(again) = patched(&once, json!([operation]))
        {
            prop_assert_eq!(again, once);
        }
    }

    #[test]
    fn replayed_replace_changes_nothing(user in generate::user(), changes in generate::user(), text in "[a-z]{1,5}") {
        let user = Resource::parse(ResourceType::user(), &user).unwrap();
        for operation in [
            json!({ "op": "replace", "value": changes }),
            json!({ "op": "add", "value": changes }),
            json!({ "op": "replace", "path": "title", "value": text }),
            json!({ "op": "replace", "path": "phoneNumbers[type eq \"work\"].value", "value": text }),
            json!({ "op": "add", "path": "emails[type eq \"home\"].primary", "value": true }),
            json!({ "op": "remove", "path": "phoneNumbers", "value": changes["phoneNumbers"] }),
            json!({ "op": "remove", "path": format!("{URN}:manager") }),
        ] {
            let once = patched(&user, json!([operation])).unwrap();
            let again = patched(&once, json!([operation])).unwrap();
            prop_assert_eq!(again, once, "{}", operation);
        }
    }

    #[test]
    fn any_json_is_a_group_or_an_error(any in generate::any_json(), near in generate::near_user()) {
        let mut named = near.clone();
        named["displayName"] = json!("Night shift");
        named["schemas"] = json!([GROUP_URN]);
        for body in [any, near, named] {
            let Ok(group) = Group::parse(ResourceType::group(), &body) else { continue };
            let message = serde_json::to_string(&group).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Group>(&message).unwrap(), &group);
            prop_assert_eq!(group.resource.get("members"), None);
        }
    }

    #[test]
    fn any_json_is_a_patch_of_a_group_or_an_error(any in generate::any_json(), near in generate::near_patch()) {
        let night = json!({ "schemas": [GROUP_URN], "displayName": "Night shift" });
        let night = Group::parse(ResourceType::group(), &night).unwrap().resource;
        let members = (1..4).map(Uuid::from_u128).collect();
        for body in [any, near] {
            let Ok(patch) = GroupPatch::parse(ResourceType::group(), &body) else { continue };
            let message = serde_json::to_string(&patch).unwrap();
            prop_assert_eq!(&serde_json::from_str::<GroupPatch>(&message).unwrap(), &patch);
            let once = groups::applied(&members, &patch.members);
            if patch.members.len() < 2 {
                prop_assert_eq!(groups::applied(&once, &patch.members), once);
            }
            let after = patch.attributes.map_or(Ok(night.clone()), |patch| patch.apply(ResourceType::group(), &night));
            if let Ok(after) = after {
                prop_assert_eq!(after.get("members"), None);
            }
        }
    }

    #[test]
    fn any_json_is_a_message_or_an_error(any in generate::any_json(), operations in proptest::collection::vec(generate::any_json(), 0..4)) {
        for body in [any.clone(), json!({ "Operations": operations }), json!({ "count": any, "cursor": "" })] {
            let _ = (BulkRequest::parse(&body), SearchRequest::parse(&body), Schema::parse(&body));
        }
        let _ = Schema::parse(&json!({ "id": "urn:acme:x", "attributes": operations }));
    }
}

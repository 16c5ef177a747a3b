//! The envelope: the attributes listed for the activity log, and the encoding in the queue.

use serde_json::json;

use super::*;

#[test]
fn a_patch_lists_the_names_of_its_attributes_but_no_values() {
    let body = json!({ "Operations": [
        { "op": "replace", "path": "emails[value eq \"ada@acme.example\"].type", "value": "home" },
        { "op": "add", "path": "title", "value": "Boss" },
        { "op": "replace", "value": { "active": false, "title": "None" } },
    ]});
    let change = Change::PatchUser { patch: Patch::parse(&body).unwrap() };
    let types = Types::default();
    assert_eq!(change.attributes(&types), ["active", "emails.type", "title"]);
    assert!(Change::DeleteUser.attributes(&types).is_empty());
}

#[test]
fn fields_that_a_pull_clears_survive_the_queue() {
    let (external_id, login) = ("00u1".to_owned(), "ada".to_owned());
    let custom_fields = [("Shirt".to_owned(), serde_json::Value::Null)].into();
    let supplement =
        Supplement { external_id, login, hire_date: Some(None), region: Some(None), custom_fields };
    let change = Change::SupplementUser { supplement };
    let queued = serde_json::to_vec(&change).unwrap();
    assert_eq!(serde_json::from_slice::<Change>(&queued).unwrap(), change);
}

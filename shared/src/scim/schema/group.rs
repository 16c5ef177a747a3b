//! The core Group schema (RFC 7643 §4.2): rows of the table.
//!
//! Read by `schema.rs`. Members are users; groups in groups are not kept (§4.2 leaves the choice).

use super::{Attribute, GROUP_URN, Schema};

pub(super) fn schema() -> Schema {
    Schema {
        id: GROUP_URN.into(),
        name: "Group".into(),
        description: "Group".into(),
        attributes: vec![
            Attribute::string("displayName", "The name of the group").required(),
            Attribute::complex("members", "The users in the group", members()).multi_valued(),
        ],
    }
}

fn members() -> Vec<Attribute> {
    vec![
        Attribute::string("value", "The id of the member").case_exact().immutable(),
        Attribute::reference("$ref", &["User"], "The URI of the member").immutable(),
        Attribute::string("type", "What the member is").canonical(&["User"]).immutable(),
        // RFC 7643 §8.7.1 leaves it out, and §2.4 and the example of a group (§8.4) have it.
        Attribute::string("display", "What the client calls the member, else the member's own name"),
    ]
}

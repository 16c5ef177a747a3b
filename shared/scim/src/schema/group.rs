//! The core Group schema (RFC 7643 §4.2). Members are users; nested groups are not supported (§4.2 leaves the choice).

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
        Attribute::string("type", "The type of the member").canonical(&["User"]).immutable(),
        // RFC 7643 §8.7.1 omits it, but §2.4 and the example of a group (§8.4) have it.
        Attribute::string("display", "The display name given by the client, or else the member's own name"),
    ]
}

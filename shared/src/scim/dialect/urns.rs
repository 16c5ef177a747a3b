//! URNs of SCIM's drafts and of SCIM 1.1, which clients still send for the RFCs' own (RFC 7643 §10.3).
//!
//! Before it: a URN in `schemas`, or at the start of a path. After it: the RFC's schema, under whose URN all is kept.

use std::sync::LazyLock;

use crate::scim::schema::{ENTERPRISE_URN, GROUP_URN, USER_URN};

/// What the RFCs' URNs begin with.
const RFC: &str = "urn:ietf:params:scim:";
/// What the drafts' URNs begin with.
const DRAFT: &str = "urn:scim:";

static DRAFTS: LazyLock<[(&str, Vec<String>); 3]> =
    LazyLock::new(|| [USER_URN, GROUP_URN, ENTERPRISE_URN].map(|urn| (urn, drafts(urn))));

/// The URNs that stand for a schema's URN, the longest first, since some begin others: `urn:scim:schemas:core:1.0` and
/// `urn:scim:schemas:extension:enterprise:2.0:User` among them. None for a schema that a tenant registered.
pub(in crate::scim) fn drafts_of(urn: &str) -> &'static [String] {
    DRAFTS.iter().find(|(rfc, _)| *rfc == urn).map_or(&[], |(_, drafts)| drafts)
}

/// Whether a URN in `schemas` names this core schema or message, by its own URN or by one of a draft.
pub(in crate::scim) fn is_urn_of(given: &str, urn: &str) -> bool {
    let is_message_of_draft = || {
        let rest = given.get(..DRAFT.len()).filter(|start| start.eq_ignore_ascii_case(DRAFT));
        let message = urn.strip_prefix(RFC).filter(|rest| rest.starts_with("api:"));
        rest.is_some() && message.is_some_and(|message| given[DRAFT.len()..].eq_ignore_ascii_case(message))
    };
    given.eq_ignore_ascii_case(urn)
        || drafts_of(urn).iter().any(|draft| given.eq_ignore_ascii_case(draft))
        || is_message_of_draft()
}

/// Drafts had another namespace, SCIM 1.1 another version, and both left the resource type out.
fn drafts(urn: &str) -> Vec<String> {
    let parts = urn.strip_prefix(RFC).and_then(|rest| rest.split_once(":2.0:"));
    let Some((subject, resource_type)) = parts else { return Vec::new() };
    let whole = |namespace, version| format!("{namespace}{subject}:{version}:{resource_type}");
    let short = |namespace, version| format!("{namespace}{subject}:{version}");
    vec![
        whole(RFC, "1.0"),
        whole(DRAFT, "2.0"),
        whole(DRAFT, "1.0"),
        short(RFC, "2.0"),
        short(RFC, "1.0"),
        short(DRAFT, "2.0"),
        short(DRAFT, "1.0"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::PATCH_URN;

    #[test]
    fn draft_urns_stand_for_the_schema_or_message_of_the_same_subject_only() {
        for (given, urn, expected) in [
            (USER_URN, USER_URN, true),
            ("URN:scim:schemas:CORE:1.0", USER_URN, true),
            ("urn:scim:schemas:core:2.0", GROUP_URN, true),
            ("urn:scim:schemas:core:2.0:User", USER_URN, true),
            ("urn:scim:schemas:core:2.0:Group", USER_URN, false),
            ("urn:ietf:params:scim:schemas:core:2.0", USER_URN, true),
            ("urn:scim:schemas:core:2.0", PATCH_URN, false),
            (PATCH_URN, USER_URN, false),
            ("urn:scim:api:messages:2.0:PatchOp", PATCH_URN, true),
            ("urn:scim:schemas:extension:enterprise:1.0", ENTERPRISE_URN, true),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0", ENTERPRISE_URN, true),
            ("urn:scim:schemas:extension:enterprise:2.0:User", ENTERPRISE_URN, true),
            ("urn:scim:schemas:extension:enterprise:3.0", ENTERPRISE_URN, false),
            ("urn:scim:schemas:core:1.0", ENTERPRISE_URN, false),
            ("urn:scim:schemas:extension:acme:2.0:User", "urn:example:acme:2.0:User", false),
        ] {
            assert_eq!(is_urn_of(given, urn), expected, "{given} for {urn}");
        }
    }

    #[test]
    fn no_draft_urn_hides_a_longer_one() {
        let drafts = drafts_of(ENTERPRISE_URN);
        for (position, short) in drafts.iter().enumerate() {
            assert!(!drafts[position + 1..].iter().any(|long| long.starts_with(short)), "{short}");
        }
    }
}

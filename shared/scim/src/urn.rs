//! URNs of SCIM drafts and of SCIM 1.1, which clients still send instead of those of the RFCs (RFC 7643 §10.3).
//! Attributes are always stored under the URN of the RFC.

use std::sync::LazyLock;

/// The URN of the core User schema (RFC 7643 §4.1).
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The URN of the core Group schema (RFC 7643 §4.2).
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The URN of the enterprise extension (RFC 7643 §4.3).
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The prefix of the RFCs' URNs.
const RFC: &str = "urn:ietf:params:scim:";
/// The prefix of the drafts' URNs.
const DRAFT: &str = "urn:scim:";

static DRAFTS: LazyLock<[(&str, Vec<String>); 3]> =
    LazyLock::new(|| [USER_URN, GROUP_URN, ENTERPRISE_URN].map(|urn| (urn, drafts(urn))));

/// Whether a path begins with a URN.
pub(crate) fn is_urn(path: &str) -> bool {
    path.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("urn:"))
}

/// The rest of a path after a schema's URN and separator: Entra ID writes `URN.attr` (RFC 7644 §3.10 requires a colon).
pub(crate) fn after_urn(rest: &str) -> Option<&str> {
    rest.strip_prefix([':', '.'])
}

/// The draft URNs of a schema, the longest first, because some are prefixes of others: `urn:scim:schemas:core:1.0`,
/// `urn:scim:schemas:extension:enterprise:2.0:User`. Empty for a schema that a tenant registered.
pub(crate) fn drafts_of(urn: &str) -> &'static [String] {
    DRAFTS.iter().find(|(rfc, _)| *rfc == urn).map_or(&[], |(_, drafts)| drafts)
}

/// Whether a URN in `schemas` names this core schema or message, in its RFC form or a draft form.
pub(crate) fn is_urn_of(given: &str, urn: &str) -> bool {
    let is_message_of_draft = || {
        let rest = given.get(..DRAFT.len()).filter(|start| start.eq_ignore_ascii_case(DRAFT));
        let message = urn.strip_prefix(RFC).filter(|rest| rest.starts_with("api:"));
        rest.is_some() && message.is_some_and(|message| given[DRAFT.len()..].eq_ignore_ascii_case(message))
    };
    given.eq_ignore_ascii_case(urn)
        || drafts_of(urn).iter().any(|draft| given.eq_ignore_ascii_case(draft))
        || is_message_of_draft()
}

/// Drafts used another namespace, SCIM 1.1 another version, and both omitted the resource type.
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
    use crate::PATCH_URN;

    #[test]
    fn a_draft_urn_matches_only_its_own_schema_or_message() {
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
    fn no_draft_urn_precedes_a_longer_one_that_it_prefixes() {
        let drafts = drafts_of(ENTERPRISE_URN);
        for (position, short) in drafts.iter().enumerate() {
            assert!(!drafts[position + 1..].iter().any(|long| long.starts_with(short)), "{short}");
        }
    }
}

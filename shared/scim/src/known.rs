//! Names of attributes for the activity log: those that the schemas define. A client chooses the other names freely,
//! and may put values into them, so they are counted only.

use super::schema::{Resolved, ResourceType, Target};
use super::syntax::Path;
use super::syntax::lenient::path_of_key;

/// The maximum number of listed names.
const MAX_LISTED: usize = 50;
/// The beginning of the entry that counts the other names.
const UNKNOWN: &str = "unknown";
/// The name that the leaver rule gives to an operation as a whole.
const OPERATIONS: &str = "Operations";

impl Path {
    /// The canonical name of the path's target; `None` if no schema defines it.
    pub(super) fn target(&self, resource_type: &ResourceType) -> Option<String> {
        match resource_type.resolve(self.attr.as_str())? {
            Resolved::Schema(schema) if self.sub.is_none() => Some(schema.id.to_string()),
            Resolved::Schema(_) => None,
            Resolved::Attribute(target) => {
                let sub = match &self.sub {
                    None => None,
                    Some(sub) if target.attribute.is_own_value(sub.as_str()) => None,
                    Some(sub) => Some(target.attribute.sub_attribute(sub.as_str())?),
                };
                Some(Target { sub: target.sub.or(sub), ..target }.to_string())
            }
        }
    }
}

/// The names, each once and in order, and how many others there are: `unknown(2)`.
pub(super) fn listed(targets: impl IntoIterator<Item = Option<String>>) -> Vec<String> {
    let (mut known, mut unknown) = (std::collections::BTreeSet::new(), 0);
    for target in targets {
        match target {
            Some(name) => {
                known.insert(name);
            }
            None => unknown += 1,
        }
    }
    let mut names: Vec<String> = known.into_iter().take(MAX_LISTED).collect();
    names.extend((unknown > 0).then(|| format!("{UNKNOWN}({unknown})")));
    names
}

/// The names of attributes that were left unchanged, as `listed` gives them.
#[must_use]
pub fn known_names(resource_type: &ResourceType, names: &[String]) -> Vec<String> {
    listed(names.iter().map(|name| match name.as_str() {
        OPERATIONS => Some(name.clone()),
        name => path_of_key(name)?.target(resource_type),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{ENTERPRISE_URN, Patch};

    #[test]
    fn only_names_of_the_schemas_are_listed() {
        let user = ResourceType::user();
        let department = format!("{ENTERPRISE_URN}:department");
        let many: serde_json::Map<_, _> =
            (0..2000).map(|n| (format!("ada{n}@corp.example"), json!(1))).collect();
        for (operations, expected) in [
            (
                json!([{ "op": "replace", "path": "EMAILS[value eq \"ada@corp.example\"].Type", "value": "work" }]),
                vec!["emails.type"],
            ),
            (
                json!([{ "op": "replace", "value": { "emails[value eq \"ada@corp.example\"].value": "x" } }]),
                vec!["emails.value"],
            ),
            (
                json!([{ "op": "replace", "value": { "emails[value eq \"a\"].ada": "x", "TITLE": "x" } }]),
                vec!["title", "unknown(1)"],
            ),
            (
                json!([{ "op": "replace", "value": { "x[ada@corp.example": "x", "\u{1b}[2J": 1, "ada": 2 } }]),
                vec!["unknown(3)"],
            ),
            (json!([{ "op": "remove", "path": "ada.lovelace" }]), vec!["unknown(1)"]),
            (json!([{ "op": "replace", "path": "department", "value": "x" }]), vec![&*department]),
            (
                json!([{ "op": "replace", "value": { (ENTERPRISE_URN): { "department": "x" } } }]),
                vec![ENTERPRISE_URN],
            ),
            (json!([{ "op": "replace", "value": many }]), vec!["unknown(2000)"]),
        ] {
            let patch = Patch::parse(&json!({ "Operations": operations })).unwrap();
            assert_eq!(patch.attributes(user), expected, "{operations}");
        }
    }

    #[test]
    fn ignored_names_are_listed_likewise() {
        let names = ["title", "emails[…]", "shoe.size", "Operations", "name.givenName"].map(str::to_owned);
        let expected = ["Operations", "name.givenName", "title", "unknown(2)"];
        assert_eq!(known_names(ResourceType::user(), &names), expected);
    }
}

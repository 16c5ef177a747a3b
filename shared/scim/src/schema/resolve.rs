//! Resolves the text of an attribute path to the definition that it names.

use std::fmt;

use super::{Attribute, ResourceType, Schema, find};
use crate::urn::{after_urn, drafts_of, is_urn};

/// The target of an attribute path.
#[derive(Clone, Copy, Debug)]
pub enum Resolved<'a> {
    /// A bare URN: all attributes of that schema.
    Schema(&'a Schema),
    /// One attribute or sub-attribute.
    Attribute(Target<'a>),
}

/// An attribute or sub-attribute, and the extension that defines it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The extension that defines the attribute; `None` for common and core attributes.
    pub extension: Option<&'a Schema>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute, if the path names one.
    pub sub: Option<&'a Attribute>,
}

impl<'a> Target<'a> {
    /// The definition that applies to a value of the target.
    pub fn leaf(&self) -> &'a Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

/// The canonical path, as used in errors.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = self.extension {
            write!(f, "{}:", schema.id)?;
        }
        f.write_str(&self.attribute.name)?;
        self.sub.map_or(Ok(()), |sub| write!(f, ".{}", sub.name))
    }
}

/// Resolves a path in the form of RFC 7644 §3.10.
pub(super) fn exact<'a>(resource_type: &'a ResourceType, path: &str) -> Option<Resolved<'a>> {
    match resource_type.schemas().find_map(|schema| Some((schema, after(&schema.id, path)?))) {
        Some((schema, rest)) => within(resource_type, schema, rest),
        None => target(None, resource_type.core_attributes(), path).map(Resolved::Attribute),
    }
}

/// Resolves a path in a tolerated form: with a draft's URN, or an extension's attribute without its URN.
pub(super) fn tolerated<'a>(resource_type: &'a ResourceType, path: &str) -> Option<Resolved<'a>> {
    if is_urn(path) {
        return resource_type.schemas().find_map(|schema| {
            let rest = drafts_of(&schema.id).iter().find_map(|urn| after(urn, path))?;
            within(resource_type, schema, rest)
        });
    }
    let schema = unqualified(resource_type, path.split('.').next().unwrap_or_default())?;
    target(Some(schema), schema.attributes.iter(), path).map(Resolved::Attribute)
}

/// Resolves the rest of a path after a schema's URN.
fn within<'a>(resource_type: &'a ResourceType, schema: &'a Schema, rest: &str) -> Option<Resolved<'a>> {
    let found = match rest {
        "" => return Some(Resolved::Schema(schema)),
        // The common attributes are in no schema (RFC 7643 §3.1); accept them under the core schema's URN.
        rest if schema.id == resource_type.schema.id => target(None, resource_type.core_attributes(), rest),
        rest => target(Some(schema), schema.attributes.iter(), rest),
    };
    found.map(Resolved::Attribute)
}

/// The extension that defines an attribute sent without its URN: Entra ID and others send `department` (RFC 7644 §3.10
/// requires the URN for all but core attributes). `None` for core attributes and for names that several extensions
/// have.
fn unqualified<'a>(resource_type: &'a ResourceType, name: &str) -> Option<&'a Schema> {
    let mut owners = resource_type.extensions.iter().filter(|schema| schema.attribute(name).is_some());
    let owner = owners.next()?;
    let is_core = resource_type.core_attributes().any(|core| core.name.eq_ignore_ascii_case(name));
    (!is_core && owners.next().is_none()).then_some(owner)
}

/// The rest of a path after the URN and its separator, if the path starts with the URN.
fn after<'p>(urn: &str, path: &'p str) -> Option<&'p str> {
    let (start, rest) = path.split_at_checked(urn.len())?;
    if !start.eq_ignore_ascii_case(urn) {
        return None;
    }
    match after_urn(rest) {
        Some(rest) if !rest.is_empty() => Some(rest),
        None if rest.is_empty() => Some(""),
        _ => None,
    }
}

fn target<'a>(
    extension: Option<&'a Schema>,
    mut attributes: impl Iterator<Item = &'a Attribute>,
    path: &str,
) -> Option<Target<'a>> {
    let (name, sub) = match path.split_once('.') {
        Some((name, sub)) => (name, Some(sub)),
        None => (path, None),
    };
    let attribute = attributes.find(|attribute| attribute.name.eq_ignore_ascii_case(name))?;
    let sub = match sub {
        // `value` names the values of a simple list themselves, as in complex lists (RFC 7643 §2.4).
        Some(name) if attribute.is_own_value(name) => None,
        Some(name) => Some(find(&attribute.sub_attributes, name)?),
        None => None,
    };
    Some(Target { extension, attribute, sub })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> Option<String> {
        ResourceType::user().resolve(path).map(|resolved| match resolved {
            Resolved::Schema(schema) => schema.name.to_string(),
            Resolved::Attribute(target) => target.to_string(),
        })
    }

    #[test]
    fn every_form_of_an_attribute_path_resolves() {
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let core = "urn:ietf:params:scim:schemas:core:2.0:User";
        let table = [
            ("USERNAME".to_owned(), Some("userName".to_owned())),
            ("name.FamilyName".to_owned(), Some("name.familyName".to_owned())),
            (format!("{core}:userName"), Some("userName".to_owned())),
            (format!("{core}:name.givenName"), Some("name.givenName".to_owned())),
            (core.to_uppercase(), Some("User".to_owned())),
            (urn.to_owned(), Some("EnterpriseUser".to_owned())),
            (format!("{urn}:department"), Some(format!("{urn}:department"))),
            (format!("{urn}.department"), Some(format!("{urn}:department"))),
            (format!("{urn}:manager.value"), Some(format!("{urn}:manager.value"))),
            (format!("{urn}:manager.$ref"), Some(format!("{urn}:manager.$ref"))),
            ("meta.created".to_owned(), Some("meta.created".to_owned())),
            (format!("{urn}:"), None),
            (format!("{urn}:nothing"), None),
            (format!("{core}:externalId"), Some("externalId".to_owned())),
            (format!("{core}:nothing"), None),
            ("department".to_owned(), Some(format!("{urn}:department"))),
            ("MANAGER.value".to_owned(), Some(format!("{urn}:manager.value"))),
            ("manager.nothing".to_owned(), None),
            ("name.department".to_owned(), None),
            ("urn:scim:schemas:extension:enterprise:1.0".to_owned(), Some("EnterpriseUser".to_owned())),
            (
                "urn:scim:schemas:extension:enterprise:2.0:department".to_owned(),
                Some(format!("{urn}:department")),
            ),
            (
                "URN:scim:schemas:extension:ENTERPRISE:2.0:User:manager.value".to_owned(),
                Some(format!("{urn}:manager.value")),
            ),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0.department".to_owned(),
                Some(format!("{urn}:department")),
            ),
            ("urn:scim:schemas:core:1.0:userName".to_owned(), Some("userName".to_owned())),
            ("urn:scim:schemas:core:2.0:User".to_owned(), Some("User".to_owned())),
            ("urn:scim:schemas:core:2.0:Group:displayName".to_owned(), None),
            ("urn:scim:schemas:extension:enterprise:2.0:nothing".to_owned(), None),
            ("schemas.value".to_owned(), Some("schemas".to_owned())),
            ("title.value".to_owned(), None),
            ("userName.x".to_owned(), None),
            ("name.given.name".to_owned(), None),
            (String::new(), None),
            ("ü".to_owned(), None),
        ];
        for (path, expected) in table {
            assert_eq!(shown(&path), expected, "{path}");
        }
    }
}

//! From the text of an attribute path to the rows of the table that it names.
//!
//! Before it: `path` and `filter`, which check the grammar. After it: whoever needs the characteristics.

use std::fmt;

use super::{Attribute, ResourceType, Schema, find};
use crate::scim::dialect;

/// What an attribute path names.
#[derive(Clone, Copy, Debug)]
pub enum Resolved<'a> {
    /// A bare URN: all attributes of that schema.
    Schema(&'a Schema),
    /// One attribute or sub-attribute.
    Attribute(Target<'a>),
}

/// One attribute or sub-attribute, and the extension that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The extension under whose URN the attribute stands; none for common and core attributes.
    pub extension: Option<&'a Schema>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute, where the path goes that far.
    pub sub: Option<&'a Attribute>,
}

impl<'a> Target<'a> {
    /// The row that says what a value here must be.
    pub fn leaf(&self) -> &'a Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

/// The canonical path, as errors name it.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = self.extension {
            write!(f, "{}:", schema.id)?;
        }
        f.write_str(&self.attribute.name)?;
        self.sub.map_or(Ok(()), |sub| write!(f, ".{}", sub.name))
    }
}

impl ResourceType {
    /// Resolves `attr`, `attr.sub`, `URN:attr`, `URN.attr`, `URN:attr.sub` and the bare URN, without regard to case (RFC 7643
    /// §2.1, RFC 7644 §3.10); then what clients write instead: a draft's URN, and an extension's attribute without any. None if
    /// the table knows no such attribute.
    pub fn resolve(&self, path: &str) -> Option<Resolved<'_>> {
        self.resolve_exactly(path).or_else(|| self.resolve_otherwise(path))
    }

    /// Whether the path is written as RFC 7644 §3.10 has it: such a one has the last word beside one that is not.
    pub(in crate::scim) fn is_exact(&self, path: &str) -> bool {
        self.resolve_exactly(path).is_some()
    }

    fn resolve_exactly(&self, path: &str) -> Option<Resolved<'_>> {
        match self.schemas().find_map(|schema| Some((schema, after(&schema.id, path)?))) {
            Some((schema, rest)) => self.within(schema, rest),
            None => target(None, self.core_attributes(), path).map(Resolved::Attribute),
        }
    }

    fn resolve_otherwise(&self, path: &str) -> Option<Resolved<'_>> {
        if dialect::is_urn(path) {
            return self.schemas().find_map(|schema| {
                let rest = dialect::urns::drafts_of(&schema.id).iter().find_map(|urn| after(urn, path))?;
                self.within(schema, rest)
            });
        }
        let schema = dialect::unqualified(self, path.split('.').next().unwrap_or_default())?;
        target(Some(schema), schema.attributes.iter(), path).map(Resolved::Attribute)
    }

    /// What a path names that goes on after a schema's URN.
    fn within<'a>(&'a self, schema: &'a Schema, rest: &str) -> Option<Resolved<'a>> {
        let found = match rest {
            "" => return Some(Resolved::Schema(schema)),
            // The common attributes are in no schema (RFC 7643 §3.1), and are taken for the core one's.
            rest if schema.id == self.schema.id => target(None, self.core_attributes(), rest),
            rest => target(Some(schema), schema.attributes.iter(), rest),
        };
        found.map(Resolved::Attribute)
    }
}

/// What comes after the URN and its separator, if the path begins with it.
fn after<'p>(urn: &str, path: &'p str) -> Option<&'p str> {
    let (start, rest) = path.split_at_checked(urn.len())?;
    if !start.eq_ignore_ascii_case(urn) {
        return None;
    }
    match dialect::after_urn(rest) {
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
        // The values of a plain list are called so, as those of any list (RFC 7643 §2.4).
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
    fn every_way_to_address_an_attribute_leads_to_it() {
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

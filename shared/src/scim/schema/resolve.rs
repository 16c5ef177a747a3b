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
    /// Resolves `attr`, `attr.sub`, `URN:attr`, `URN.attr`, `URN:attr.sub` and the bare URN, without regard to case (RFC 7643 §2.1, RFC 7644 §3.10). None if the table knows no such attribute.
    pub fn resolve(&self, path: &str) -> Option<Resolved<'_>> {
        if let Some((schema, rest)) = self.split_urn(path) {
            let found = match rest {
                "" => return Some(Resolved::Schema(schema)),
                // The common attributes are in no schema (RFC 7643 §3.1), and are taken for the core one's.
                rest if schema.id == self.schema.id => target(None, self.core_attributes(), rest),
                rest => target(Some(schema), schema.attributes.iter(), rest),
            };
            return found.map(Resolved::Attribute);
        }
        target(None, self.core_attributes(), path).map(Resolved::Attribute)
    }

    /// The schema whose URN starts the path, and what comes after its separator.
    fn split_urn<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Schema, &'p str)> {
        self.schemas().find_map(|schema| {
            let (urn, rest) = path.split_at_checked(schema.id.len())?;
            if !urn.eq_ignore_ascii_case(&schema.id) {
                return None;
            }
            match dialect::after_urn(rest) {
                Some(rest) if !rest.is_empty() => Some((schema, rest)),
                None if rest.is_empty() => Some((schema, "")),
                _ => None,
            }
        })
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
            ("department".to_owned(), None),
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

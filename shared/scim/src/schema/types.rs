//! The resource types of one tenant: the built-in ones with the extensions that the tenant registered.

use super::{GROUP, ResourceType, Schema, USER};
use crate::error::Error;

/// The maximum number of schemas that a tenant can register for one resource type.
pub const MAX_EXTENSIONS: usize = 20;

/// The resource types of one tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Types {
    /// The User.
    pub user: ResourceType,
    /// The Group.
    pub group: ResourceType,
}

impl Default for Types {
    /// Without registered extensions.
    fn default() -> Self {
        Self { user: USER.clone(), group: GROUP.clone() }
    }
}

impl Types {
    /// Adds these extensions, each with the name of its resource type: `User` or `Group`.
    ///
    /// # Errors
    /// 400 `invalidValue` for another resource type, for more than [`MAX_EXTENSIONS`] per type, and for a URN that is
    /// equal to another schema's or a prefix of it, or the reverse: a path must be unambiguous.
    pub fn with<K: AsRef<str>>(schemas: impl IntoIterator<Item = (K, Schema)>) -> Result<Self, Error> {
        let mut types = Self::default();
        for (kind, schema) in schemas {
            if types.iter().flat_map(ResourceType::schemas).any(|other| is_confusable(&other.id, &schema.id))
            {
                let detail = format!(
                    "{} equals the URN of another schema, or one is a prefix of the other: paths would be ambiguous",
                    schema.id
                );
                return Err(Error::invalid_value(detail));
            }
            let resource_type = match kind.as_ref() {
                "User" => &mut types.user,
                "Group" => &mut types.group,
                _ => return Err(Error::invalid_value("the resource type of a schema must be User or Group")),
            };
            let own =
                if resource_type.name == "User" { USER.extensions.len() } else { GROUP.extensions.len() };
            if resource_type.extensions.len() >= own + MAX_EXTENSIONS {
                let detail = format!(
                    "{} already has {MAX_EXTENSIONS} registered schemas, the maximum",
                    resource_type.name
                );
                return Err(Error::invalid_value(detail));
            }
            resource_type.extensions.push(schema);
        }
        Ok(types)
    }

    /// Both types.
    pub fn iter(&self) -> impl Iterator<Item = &ResourceType> {
        [&self.user, &self.group].into_iter()
    }
}

/// Whether the URNs are equal, or one is a prefix of the other up to a separator.
fn is_confusable(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let begins = |short: &str, long: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '.']))
    };
    begins(&one, &other) || begins(&other, &one)
}

//! The resource types as one tenant has them: the compiled-in ones with the extensions that the tenant registered.
//!
//! Before it: the table and the registered schemas. After it: whatever is done for that tenant.

use super::{GROUP, ResourceType, Schema, USER};
use crate::scim::error::Error;

/// The most schemas that a tenant registers for one resource type.
pub const MAX_EXTENSIONS: usize = 20;

/// The resource types as one tenant has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Types {
    /// The User.
    pub user: ResourceType,
    /// The Group.
    pub group: ResourceType,
}

impl Default for Types {
    /// Without any extension of a tenant.
    fn default() -> Self {
        Self { user: USER.clone(), group: GROUP.clone() }
    }
}

impl Types {
    /// With these extensions, each with the name of its resource type: `User` or `Group`.
    ///
    /// # Errors
    /// 400 `invalidValue` for another resource type, for more than [`MAX_EXTENSIONS`] of one, and for a URN that another
    /// schema has or that begins another one's: a path must lead to one attribute only.
    pub fn with<K: AsRef<str>>(schemas: impl IntoIterator<Item = (K, Schema)>) -> Result<Self, Error> {
        let mut types = Self::default();
        for (kind, schema) in schemas {
            if types.iter().flat_map(ResourceType::schemas).any(|other| is_confusable(&other.id, &schema.id))
            {
                let detail = format!(
                    "{} is the URN of another schema, or begins it, or begins with it: paths would be ambiguous",
                    schema.id
                );
                return Err(Error::invalid_value(detail));
            }
            let resource_type = match kind.as_ref() {
                "User" => &mut types.user,
                "Group" => &mut types.group,
                _ => return Err(Error::invalid_value("a schema extends the resource type User or Group")),
            };
            let own =
                if resource_type.name == "User" { USER.extensions.len() } else { GROUP.extensions.len() };
            if resource_type.extensions.len() >= own + MAX_EXTENSIONS {
                let detail =
                    format!("{} has {MAX_EXTENSIONS} registered schemas already", resource_type.name);
                return Err(Error::invalid_value(detail));
            }
            resource_type.extensions.push(schema);
        }
        Ok(types)
    }

    /// Both.
    pub fn iter(&self) -> impl Iterator<Item = &ResourceType> {
        [&self.user, &self.group].into_iter()
    }
}

/// Whether one URN is the other, or begins it up to a separator.
fn is_confusable(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let begins = |short: &str, long: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '.']))
    };
    begins(&one, &other) || begins(&other, &one)
}

//! The result of a PATCH or PUT: the resource, and the attributes that were left unchanged.

use super::error::Error;
use super::resource::Resource;

/// The maximum number of ignored attributes that are reported.
pub(super) const MAX_IGNORED: usize = 50;

/// The result of applying a request to a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The resource after the request.
    pub resource: Resource,
    /// The attributes that kept their old values although the request would change them.
    pub ignored: Vec<String>,
}

impl Applied {
    /// Deduplicates the names.
    pub(super) fn of(resource: Resource, names: Vec<String>) -> Self {
        let mut ignored: Vec<String> = Vec::new();
        for name in names {
            if ignored.len() < MAX_IGNORED && !ignored.contains(&name) {
                ignored.push(name);
            }
        }
        Self { resource, ignored }
    }

    /// Restores an attribute of the core schema if the result is inactive. This applies the leaver rule to conflicts
    /// with other resources of the tenant.
    ///
    /// # Errors
    /// The given error if the result is active.
    pub fn leaving(mut self, name: &str, before: &Resource, error: Error) -> Result<Self, Error> {
        if self.resource.active() != Some(false) {
            return Err(error);
        }
        let mut members = self.resource.members().clone();
        match before.members().get(name) {
            Some(value) => members.insert(name.to_owned(), value.clone()),
            None => members.remove(name),
        };
        self.ignored.push(name.to_owned());
        Ok(Self::of(Resource::from_members(members), self.ignored))
    }
}

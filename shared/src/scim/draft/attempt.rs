//! Changes that are tried one by one: what fails leaves no trace.
//!
//! Before it: the leaver's rule, which goes on after a failure. After it: `leaver/mend.rs`, which checks what came of them.

use serde_json::{Map, Value};

use super::Draft;
use crate::scim::error::Error;
use crate::scim::schema::Target;
use crate::scim::value::size;

impl<'a> Draft<'a> {
    /// Makes a change of one attribute, or leaves it as it was.
    ///
    /// # Errors
    /// Why the change cannot be made.
    pub(in crate::scim) fn attempt(
        &mut self,
        target: Option<Target<'a>>,
        change: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // What names no attribute is refused before it changes anything.
        let Some(Target { extension, attribute, .. }) = target else { return change(self) };
        let cost = self.container(extension).get(&*attribute.name).map_or(0, |before| size(before) / 16);
        self.spend(cost)?;
        let before = self.container(extension).get(&*attribute.name).cloned();
        change(self).inspect_err(|_| {
            let container = self.container(extension);
            match before {
                Some(value) => container.insert(attribute.name.to_string(), value),
                None => container.remove(&*attribute.name),
            };
        })
    }

    /// What has become of a core attribute so far.
    pub(in crate::scim) fn core(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// The names of attributes that paths named and the schema does not have.
    pub(in crate::scim) fn take_ignored(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ignored)
    }

    /// Notes the name of what is ignored.
    pub(in crate::scim) fn ignore(&mut self, name: String) {
        self.ignored.push(name);
    }

    /// The members, unchecked.
    pub(in crate::scim) fn into_members(self) -> Map<String, Value> {
        self.members
    }
}

//! Changes that are attempted one by one: a failed change is rolled back. `leaver` uses this to continue after a
//! failure.

use serde_json::{Map, Value};

use super::Draft;
use crate::error::Error;
use crate::json::size;
use crate::schema::Target;

impl<'a> Draft<'a> {
    /// Changes one attribute, or restores it if the change fails.
    ///
    /// # Errors
    /// The error of the change.
    pub(crate) fn attempt(
        &mut self,
        target: Option<Target<'a>>,
        change: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // A change without a target attribute is rejected before it changes anything.
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

    /// The current value of a core attribute.
    pub(crate) fn core(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Takes the paths that name unknown attributes.
    pub(crate) fn take_ignored(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ignored)
    }

    /// Records the name of an ignored attribute.
    pub(crate) fn ignore(&mut self, name: String) {
        self.ignored.push(name);
    }

    /// The members, unchecked.
    pub(crate) fn into_members(self) -> Map<String, Value> {
        self.members
    }
}

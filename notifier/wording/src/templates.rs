//! The templates of all tenants: the built-in ones, and replacements from a folder.

use std::collections::BTreeMap;
use std::path::Path;

use crate::files::{self, Replaced};
use crate::letter::{Letter, Words};
use crate::set::Set;

pub use crate::set::Error;

/// All templates, compiled and checked.
#[derive(Debug)]
pub struct Templates {
    all: Set,
    tenants: BTreeMap<String, Set>,
}

impl Templates {
    /// Loads the built-in templates and the replacements in a folder, and renders each one in every language as a
    /// check.
    ///
    /// # Errors
    /// Names the invalid file and describes the problem.
    pub fn load(folder: Option<&Path>) -> Result<Self, String> {
        let Replaced { all: files, tenants } = folder.map(files::read).transpose()?.unwrap_or_default();
        let all = Set::new(&[&files])?;
        all.check("")?;
        let own = |(name, own): (String, files::Files)| {
            let set = Set::new(&[&files, &own]).and_then(|set| set.check(&name).map(|()| set));
            let set = set.map_err(|e| format!("in the folder {name}: {e}"))?;
            Ok((name, set))
        };
        Ok(Self { all, tenants: tenants.into_iter().map(own).collect::<Result<_, String>>()? })
    }

    /// The names of the tenants that have their own templates.
    #[must_use]
    pub fn tenants(&self) -> Vec<String> {
        self.tenants.keys().cloned().collect()
    }

    /// Renders a mail.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn words(&self, letter: &Letter<'_>) -> Result<Words, Error> {
        self.tenants.get(letter.tenant).unwrap_or(&self.all).words(letter)
    }
}

#[cfg(test)]
mod tests;

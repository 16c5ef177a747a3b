//! The templates of all companies: this program's own, and those by which a folder replaces them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::files::{self, Replaced};
use crate::letter::{Letter, Words};
use crate::set::Set;

/// Why there are no words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not said what was assigned.
    #[error("it is not said what was assigned")]
    Incomplete,
    /// A template failed.
    #[error(transparent)]
    Template(#[from] minijinja::Error),
}

/// All templates, checked and ready to be filled.
#[derive(Debug)]
pub struct Templates {
    all: Set,
    tenants: BTreeMap<String, Set>,
}

impl Templates {
    /// This program's own, and in their place those of a folder. Every one is tried, in every language.
    ///
    /// # Errors
    /// Says which file is wrong, and why.
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

    /// The tenants that have templates of their own, by name.
    #[must_use]
    pub fn tenants(&self) -> Vec<String> {
        self.tenants.keys().cloned().collect()
    }

    /// The words of a letter.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn words(&self, letter: &Letter<'_>) -> Result<Words, Error> {
        self.tenants.get(letter.tenant).unwrap_or(&self.all).words(letter)
    }
}

#[cfg(test)]
mod tests;

//! The leaver's rule: a request that leaves somebody inactive never fails because of anything else in it.
//!
//! Whoever stays active keeps access, and an identity provider repeats a change that fails until somebody stops it. So
//! where the result of a PATCH or PUT is `active: false`, whatever else in it cannot be done is left as it was, and is
//! named. Where the result is active, the request is refused as a whole (RFC 7644 §3.5.2). What cannot be read as a
//! request, or has a path that breaks the grammar, is refused before.
//!
//! Before it: a `Patch` that was read, or the body of a PUT. After it: the worker's fold, which leaves a userName that is
//! somebody's by the same rule. Which wishes a request is made of stands in `leaver/wishes.rs`; what a resource must hold
//! is mended in `leaver/mend.rs`.

mod mend;
mod wishes;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::mend::{Mending, tidied};
use self::wishes::{Wish, of_body, of_patch};
use super::draft::{Draft, excessive_size};
use super::error::Error;
use super::patch::Patch;
use super::resource::{Resource, check_schemas};
use super::schema::ResourceType;
use super::value::{as_boolean, check_names, is_empty};

/// The attribute that says whether somebody may use the service.
const ACTIVE: &str = "active";
/// The most attributes that are named as ignored.
const MOST_TOLD: usize = 50;

/// What a request makes of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// What becomes of it.
    pub resource: Resource,
    /// The names of the attributes that are as they were although the request is about them.
    pub ignored: Vec<String>,
}

/// What is wrong with a body that is no whole resource. Where it leaves somebody inactive it is taken all the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misfit {
    /// Why it is refused where it does not.
    pub error: Error,
    /// The names of the attributes whose values cannot be taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
}

impl Misfit {
    /// This one, with what was found to be wrong when the body was read again.
    #[must_use]
    pub fn and(mut self, found: Option<Misfit>) -> Self {
        self.attributes.extend(found.into_iter().flat_map(|found| found.attributes));
        self
    }
}

impl Applied {
    /// Each name once.
    pub(super) fn of(resource: Resource, names: Vec<String>) -> Self {
        let mut ignored: Vec<String> = Vec::new();
        for name in names {
            if ignored.len() < MOST_TOLD && !ignored.contains(&name) {
                ignored.push(name);
            }
        }
        Self { resource, ignored }
    }

    /// The same with an attribute of the core schema left as it was, where the result is inactive: the rule for what only the
    /// roster as a whole can tell.
    ///
    /// # Errors
    /// This one where the result is active.
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

impl Resource {
    /// Reads the body of a PUT, which is taken by the leaver's rule although it is no whole resource, unless it says that
    /// the person is active. What is wrong with it is told beside what can be taken of it.
    ///
    /// # Errors
    /// As [`Resource::parse`]: for what cannot be read as a resource of this type, and for what stays active.
    pub fn read(resource_type: &ResourceType, body: &Value) -> Result<(Self, Option<Misfit>), Error> {
        let error = match Self::parse(resource_type, body) {
            Ok(resource) => return Ok((resource, None)),
            Err(error) => error,
        };
        let Value::Object(given) = body else { return Err(error) };
        check_schemas(&resource_type.schema.id, given)?;
        check_names(&"", given.keys())?;
        let mut draft = Draft::new(resource_type, Map::new());
        let given = given.iter().filter(|(_, value)| !is_empty(value));
        let wishes = of_body(resource_type, given);
        fulfil(&mut draft, &wishes);
        if draft.core(ACTIVE).and_then(as_boolean) == Some(true) || !has_active(resource_type) {
            return Err(error);
        }
        let mut attributes = draft.take_ignored();
        let mut members = tidied(resource_type, draft.into_members(), &mut attributes);
        if excessive_size(&members).is_some() {
            // Nothing but what is to be done.
            members.retain(|name, _| name == ACTIVE);
            let kept = wishes.iter().filter(|wish| wish.is_kept() && !wish.is_about(ACTIVE));
            attributes.extend(kept.map(|wish| wish.name.clone()));
        }
        attributes.sort_unstable();
        attributes.dedup();
        Ok((Self::from_members(members), Some(Misfit { error, attributes })))
    }

    /// This resource, as a PUT sent it, in the place of what was.
    ///
    /// # Errors
    /// That of the misfit, or as [`Resource::replacing`]; neither where the result is inactive.
    pub fn put(
        self,
        resource_type: &ResourceType,
        before: &Resource,
        misfit: Option<&Misfit>,
    ) -> Result<Applied, Error> {
        let strictly = match misfit {
            None => self.clone().replacing(resource_type, before),
            Some(misfit) => Err(misfit.error.clone()),
        };
        let error = match strictly {
            Ok(resource) => return Ok(Applied::of(resource, Vec::new())),
            Err(error) if self.active() == Some(false) => error,
            Err(error) => return Err(error),
        };
        let sent = self.with_unseen(resource_type, before);
        let left: Vec<String> = misfit.map(|misfit| misfit.attributes.clone()).unwrap_or_default();
        let mut mending = Mending::new(resource_type, before.members(), sent.members().clone(), left.clone());
        if misfit.is_some() {
            // Such a body is often no more than the deactivation: an absent attribute is not a wish to clear it.
            mending = mending.keeping_omitted();
        }
        // Whether they are active is settled.
        for name in left.iter().filter(|name| *name != ACTIVE) {
            mending.leave(name);
        }
        mending.finish().ok_or(error)
    }
}

/// What a PATCH makes of the resource if it leaves somebody inactive.
pub(super) fn patched(patch: &Patch, resource_type: &ResourceType, current: &Resource) -> Option<Applied> {
    let wishes = of_patch(resource_type, patch);
    let mut draft = Draft::new(resource_type, current.members().clone());
    fulfil(&mut draft, &wishes);
    if draft.core(ACTIVE) != Some(&Value::Bool(false)) {
        return None;
    }
    let ignored = draft.take_ignored();
    Mending::new(resource_type, current.members(), draft.into_members(), ignored).finish()
}

/// Does what can be done. Whether somebody is active comes first: however much else is asked for, that is not too much.
fn fulfil<'a>(draft: &mut Draft<'a>, wishes: &[Wish<'a, '_>]) {
    for is_first in [true, false] {
        for wish in wishes.iter().filter(|wish| wish.is_about(ACTIVE) == is_first) {
            if draft.attempt(wish.target, |draft| wish.fulfil(draft)).is_err() {
                draft.ignore(wish.name.clone());
            }
        }
    }
}

/// Whether there is anything of this type that can be left inactive: a group cannot.
fn has_active(resource_type: &ResourceType) -> bool {
    resource_type.schema.attribute(ACTIVE).is_some()
}

#[cfg(test)]
mod tests;

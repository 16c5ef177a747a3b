//! The leaver rule: a request that deactivates a user never fails because of its other changes.
//!
//! A user who stays active keeps access, and an identity provider retries a failed change until someone stops it.
//! Therefore, if the result of a PATCH or PUT is `active: false`, attributes whose changes fail keep their old values
//! and are reported as ignored. If the result is active, the whole request is rejected (RFC 7644 §3.5.2). A body that
//! cannot be parsed, or a path that violates the grammar, is always rejected.
//!
//! `leaver/wishes.rs` splits a request into independent changes, and `leaver/mend.rs` restores attributes that became
//! invalid. The worker's fold applies the same rule to a userName that another user has.

mod mend;
mod wishes;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::mend::{Mending, tidied};
use self::wishes::{Wish, of_body, of_patch};
use super::applied::Applied;
use super::draft::{Draft, excessive_size};
use super::error::Error;
use super::json::{check_names, is_empty};
use super::patch::Patch;
use super::resource::{Resource, check_schemas};
use super::schema::ResourceType;
use super::value::as_boolean;

/// The attribute that determines whether a user may use the service.
const ACTIVE: &str = "active";

/// The errors of a body that is not a valid resource. It is accepted nevertheless if it deactivates the user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misfit {
    /// The error if the body does not deactivate the user.
    pub error: Error,
    /// The attributes whose values are invalid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
}

impl Misfit {
    /// Adds the errors found when the body was parsed again.
    #[must_use]
    pub fn and(mut self, found: Option<Misfit>) -> Self {
        self.attributes.extend(found.into_iter().flat_map(|found| found.attributes));
        self
    }
}

/// Parses the body of a PUT. By the leaver rule an invalid body is accepted unless it sets the user active; its
/// errors are returned beside the valid part.
///
/// # Errors
/// As [`Resource::parse`], if the body is not a resource of this type, or if the user stays active.
pub fn read(resource_type: &ResourceType, body: &Value) -> Result<(Resource, Option<Misfit>), Error> {
    let error = match Resource::parse(resource_type, body) {
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
        // Too large: keep only `active`.
        members.retain(|name, _| name == ACTIVE);
        let kept = wishes.iter().filter(|wish| wish.is_kept() && !wish.is_about(ACTIVE));
        attributes.extend(kept.map(|wish| wish.name.clone()));
    }
    attributes.sort_unstable();
    attributes.dedup();
    Ok((Resource::from_members(members), Some(Misfit { error, attributes })))
}

/// What a PUT of `sent` makes of the resource.
///
/// # Errors
/// The misfit's error, or as [`Resource::replacing`]. No error if the result is inactive.
pub fn put(
    sent: Resource,
    resource_type: &ResourceType,
    before: &Resource,
    misfit: Option<&Misfit>,
) -> Result<Applied, Error> {
    let strictly = match misfit {
        None => sent.clone().replacing(resource_type, before),
        Some(misfit) => Err(misfit.error.clone()),
    };
    let error = match strictly {
        Ok(resource) => return Ok(Applied::of(resource, Vec::new())),
        Err(error) if sent.active() == Some(false) => error,
        Err(error) => return Err(error),
    };
    let sent = sent.with_unseen(resource_type, before);
    let left: Vec<String> = misfit.map(|misfit| misfit.attributes.clone()).unwrap_or_default();
    let mut mending = Mending::new(resource_type, before.members(), sent.members().clone(), left.clone());
    if misfit.is_some() {
        // Such a body often contains little more than the deactivation, so a missing attribute does not mean "clear
        // it".
        mending = mending.keeping_omitted();
    }
    // `active` is already settled.
    for name in left.iter().filter(|name| *name != ACTIVE) {
        mending.leave(name);
    }
    mending.finish().ok_or(error)
}

/// Applies all operations in sequence, or none. An attribute that the schema does not define is ignored.
///
/// # Errors
/// 400 with the matching keyword of RFC 7644 §3.12. A required attribute that a remove left unassigned is
/// `mutability` (§3.5.2.2), any other missing one `invalidValue`; a changed immutable attribute is `mutability`
/// too. A resource that already lacked a required attribute may still lack it, so that a deactivation does not fail
/// because of it. 413 if the operations need too many value comparisons or make the resource too large. If the
/// result is inactive, the leaver rule suppresses all these errors.
pub fn patched(patch: &Patch, resource_type: &ResourceType, current: &Resource) -> Result<Applied, Error> {
    patch
        .apply_strictly(resource_type, current)
        .or_else(|error| leaving(patch, resource_type, current).ok_or(error))
}

/// Applies a PATCH by the leaver rule. `None` if the user stays active.
fn leaving(patch: &Patch, resource_type: &ResourceType, current: &Resource) -> Option<Applied> {
    let wishes = of_patch(resource_type, patch);
    let mut draft = Draft::new(resource_type, current.members().clone());
    fulfil(&mut draft, &wishes);
    if draft.core(ACTIVE) != Some(&Value::Bool(false)) {
        return None;
    }
    let ignored = draft.take_ignored();
    Mending::new(resource_type, current.members(), draft.into_members(), ignored).finish()
}

/// Applies all changes that succeed. Changes of `active` come first, so that the work limit cannot prevent them.
fn fulfil<'a>(draft: &mut Draft<'a>, wishes: &[Wish<'a, '_>]) {
    for is_first in [true, false] {
        for wish in wishes.iter().filter(|wish| wish.is_about(ACTIVE) == is_first) {
            if draft.attempt(wish.target, |draft| wish.fulfil(draft)).is_err() {
                draft.ignore(wish.name.clone());
            }
        }
    }
}

/// Whether resources of this type can be inactive. Groups cannot.
fn has_active(resource_type: &ResourceType) -> bool {
    resource_type.schema.attribute(ACTIVE).is_some()
}

#[cfg(test)]
mod tests;

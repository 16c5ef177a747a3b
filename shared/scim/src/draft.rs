//! A resource that is being changed: the engine shared by POST, PUT and PATCH.
//!
//! The rules for changing attributes are in RFC 7644 §3.5.2.1 to §3.5.2.3. `draft/assign.rs` assigns to whole
//! attributes, `draft/elements.rs` to lists of values, `draft/remove.rs` removes, and `finish` yields the canonical
//! resource.

mod assign;
mod elements;
mod equality;
mod finish;
mod order;
mod plain;
mod remove;
mod unite;

use std::fmt::Display;

use serde_json::{Map, Value};

use super::error::Error;
use super::json::{check_names, size};
use super::schema::{Attribute, Mutability, Resolved, ResourceType, Schema, Target};
use super::syntax::Path;
use super::syntax::lenient;
use super::value::coerce_one;

use self::order::attribute_of;
pub(super) use finish::{excessive_size, is_blank, lacking, missing, tidy};
pub(super) use order::in_order;

/// How to treat a readOnly or unknown attribute. Unknown attributes are ignored where RFC 7644 §3.5.2 requires
/// `invalidPath`: Entra ID sends each attribute that an admin has mapped in a separate operation, and the others must
/// not fail with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// The client named it as a target: readOnly is an error (RFC 7644 §3.5.2), an unknown attribute is reported.
    Explicit,
    /// It is part of a larger value: ignored. Okta sends the readOnly `id` when it renames a group, and the whole
    /// representation when it updates a user. A client may also send attributes that the schema does not define.
    Incidental,
}

/// The maximum work of one request, in value comparisons; each 16 bytes of text count as one more. This is far more
/// than a directory needs, and takes a fraction of a second.
const MAX_WORK: usize = 1_000_000;

/// The two assigning operations. They differ only for lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// RFC 7644 §3.5.2.1
    Add,
    /// RFC 7644 §3.5.2.3
    Replace,
}

/// A resource that is being changed.
pub(super) struct Draft<'a> {
    resource_type: &'a ResourceType,
    members: Map<String, Value>,
    work: usize,
    /// The paths that name unknown attributes.
    ignored: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(resource_type: &'a ResourceType, members: Map<String, Value>) -> Self {
        Self { resource_type, members, work: 0, ignored: Vec::new() }
    }

    /// Accounts for work before it is done, so that a small request cannot keep a worker busy: lists are compared value
    /// by value, and one body can hold thousands of operations on them.
    fn spend(&mut self, work: usize) -> Result<(), Error> {
        self.work = self.work.saturating_add(work);
        if self.work <= MAX_WORK {
            return Ok(());
        }
        let detail =
            format!("the request needs more than {MAX_WORK} value comparisons; split it into smaller ones");
        Err(Error::payload_too_large(detail))
    }

    /// Assigns a value without a path: each of its keys is a path (RFC 7644 §3.5.2.1).
    pub(super) fn merge<'v>(
        &mut self,
        how: How,
        members: impl Iterator<Item = (&'v String, &'v Value)> + Clone,
    ) -> Result<(), Error> {
        check_names(&"", members.clone().map(|(name, _)| name))?;
        for (name, value) in in_order(self.resource_type, members) {
            self.assign_named(how, name, value)?;
        }
        Ok(())
    }

    /// Assigns the value of one key of a larger value. Keys that name no attribute are looked up in the schema first,
    /// which is faster than parsing them.
    pub(super) fn assign_named(&mut self, how: How, name: &str, value: &Value) -> Result<(), Error> {
        if self.resource_type.resolve(attribute_of(name)).is_none() {
            return Ok(());
        }
        match lenient::path_of_key(name) {
            Some(path) => self.assign(how, Names::Incidental, &path, value),
            None => Ok(()),
        }
    }

    /// Assigns a value to the target of a path.
    pub(super) fn assign(&mut self, how: How, names: Names, path: &Path, value: &Value) -> Result<(), Error> {
        match self.resolve(path) {
            Ok(Some(Resolved::Schema(schema))) => assign::schema(self, how, schema, value),
            Ok(Some(Resolved::Attribute(target))) if is_read_only(&target) => match names {
                Names::Explicit => Err(Error::mutability(format!("{target} is readOnly"))),
                Names::Incidental => Ok(()),
            },
            Ok(Some(Resolved::Attribute(target))) if !target.attribute.stored => Ok(()),
            Ok(Some(Resolved::Attribute(target))) => match &path.filter {
                Some(filter) if target.attribute.is_plain_list() => {
                    plain::assign_selected(self, how, &target, filter, value)
                }
                Some(filter) => elements::assign_selected(self, how, &target, filter, value),
                None => assign::attribute(self, how, &target, value),
            },
            Ok(None) | Err(_) if names == Names::Incidental => Ok(()),
            Ok(None) => {
                self.ignored.push(path.shown());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the target of a path, or only the listed values of it (RFC 7644 §3.5.2.2). Removing a value that does
    /// not exist changes nothing.
    pub(super) fn remove(&mut self, path: &Path, listed: Option<&Value>) -> Result<(), Error> {
        remove::at(self, path, listed)
    }

    /// Changes one attribute, or restores it if the change fails. `leaver` uses this to continue after a failure.
    ///
    /// # Errors
    /// The error of the change.
    pub(super) fn attempt(
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

    /// The canonical members.
    ///
    /// # Errors
    /// 400 `invalidValue` if a value of a list lacks a required part; 413 if many small changes have made the resource
    /// larger than one request could.
    pub(super) fn finish(self) -> Result<Map<String, Value>, Error> {
        finish::canonical(self.resource_type, self.members)
    }

    /// The members, unchecked.
    pub(super) fn into_members(self) -> Map<String, Value> {
        self.members
    }

    /// The current value of a core attribute.
    pub(super) fn core(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Records the name of an ignored attribute.
    pub(super) fn ignore(&mut self, name: String) {
        self.ignored.push(name);
    }

    /// Takes the paths that name unknown attributes.
    pub(super) fn take_ignored(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ignored)
    }

    /// Resolves a path to a schema or attribute; the name after a value filter is the sub-attribute. `None` if the
    /// schema has no such attribute.
    fn resolve(&self, path: &Path) -> Result<Option<Resolved<'a>>, Error> {
        let Some(resolved) = self.resource_type.resolve(path.attr.as_str()) else { return Ok(None) };
        let (target, filter) = match (resolved, &path.filter) {
            (Resolved::Attribute(target), Some(filter)) if target.attribute.stored => (target, filter),
            // Errors are logged, so they have the schema's names, not the client's.
            (Resolved::Schema(schema), Some(_)) => {
                return Err(Error::invalid_path(format!("{} is not an attribute", schema.id)));
            }
            (resolved, _) => return Ok(Some(resolved)),
        };
        if target.sub.is_some() || !target.attribute.multi_valued {
            return Err(Error::invalid_path(format!("{target} does not support a value filter")));
        }
        let name = path.sub.as_ref().filter(|name| !target.attribute.is_own_value(name.as_str()));
        let Some(name) = name else { return Ok(Some(resolved)) };
        let sub = target.attribute.sub_attribute(name.as_str());
        if sub.is_none() {
            // An invalid filter is an error nevertheless.
            filter.matches_element(target.attribute, &Value::Null)?;
        }
        Ok(sub.map(|sub| Resolved::Attribute(Target { sub: Some(sub), ..target })))
    }

    /// The object that contains an attribute: the resource or its extension.
    fn container(&mut self, extension: Option<&Schema>) -> &mut Map<String, Value> {
        let Some(schema) = extension else {
            return &mut self.members;
        };
        let container = self.members.entry(schema.id.to_string()).or_insert(Value::Null);
        if !container.is_object() {
            *container = Value::Object(Map::new());
        }
        container.as_object_mut().expect("any other value was replaced by an object above")
    }
}

fn is_read_only(target: &Target<'_>) -> bool {
    target.attribute.mutability == Mutability::ReadOnly || target.leaf().mutability == Mutability::ReadOnly
}

/// Assigns one sub-attribute; an empty value removes it. An immutable sub-attribute can be assigned only once.
fn assign_sub(
    members: &mut Map<String, Value>,
    parent: &dyn Display,
    sub: &Attribute,
    value: &Value,
) -> Result<(), Error> {
    let value = coerce_one(sub, &format_args!("{parent}.{}", sub.name), value)?;
    let old = members.get(&*sub.name);
    if sub.mutability == Mutability::Immutable && old.is_some() && old != value.as_ref() {
        return Err(Error::mutability(format!("{parent}.{} is immutable and already set", sub.name)));
    }
    match value {
        Some(value) => members.insert(sub.name.to_string(), value),
        None => members.remove(&*sub.name),
    };
    Ok(())
}

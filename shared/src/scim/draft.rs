//! A resource while it is being changed: the one engine under POST, PUT and PATCH.
//!
//! Before it: `Resource::parse` and `Patch::apply`, which say what to assign and remove. After it: `finish`, which
//! yields the canonical resource again. How attributes change stands in RFC 7644 §3.5.2.1 to §3.5.2.3; lists of values
//! are the business of `draft/elements.rs`.

mod attempt;
mod elements;
mod finish;
mod order;
mod plain;
mod unite;

use std::fmt::Display;

use serde_json::{Map, Value};

use super::dialect::values::says_nothing;
use super::dialect::{self, Names};
use super::error::Error;
use super::path::Path;
use super::schema::{Attribute, DataType, Mutability, Resolved, ResourceType, Schema, Target};
use super::value::{
    alone, as_complex, check_count, check_names, coerce_elements, coerce_one, is_empty, sub_values,
};

use self::order::attribute_of;
pub(super) use finish::{excessive_size, is_blank, lacking, missing, tidy};
pub(super) use order::in_order;

/// The most work that one request may ask for, in looks at a value; 16 bytes of text count as one more. Much more than
/// any directory asks for, and a small part of a second.
const MAX_WORK: usize = 1_000_000;

/// Which of the two assigning operations it is; they differ for lists only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// RFC 7644 §3.5.2.1
    Add,
    /// RFC 7644 §3.5.2.3
    Replace,
}

/// A resource on the workbench.
pub(super) struct Draft<'a> {
    resource_type: &'a ResourceType,
    members: Map<String, Value>,
    work: usize,
    /// The names of attributes that a path named and the schema does not have.
    ignored: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(resource_type: &'a ResourceType, members: Map<String, Value>) -> Self {
        Self { resource_type, members, work: 0, ignored: Vec::new() }
    }

    /// Accounts for work before it is done, so that a small request cannot keep a worker busy: lists are compared value by
    /// value, and one body has room for thousands of operations on them.
    fn spend(&mut self, work: usize) -> Result<(), Error> {
        self.work = self.work.saturating_add(work);
        if self.work <= MAX_WORK {
            return Ok(());
        }
        let detail =
            format!("the request asks for more than {MAX_WORK} comparisons of values; send less at a time");
        Err(Error::payload_too_large(detail))
    }

    /// Assigns a value without a path: each of its keys is one (RFC 7644 §3.5.2.1).
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

    /// Assigns a value to what the name in a larger value is the path of. Most names that are none are told by the table,
    /// which is quicker than the grammar.
    pub(super) fn assign_named(&mut self, how: How, name: &str, value: &Value) -> Result<(), Error> {
        if self.resource_type.resolve(attribute_of(name)).is_none() {
            return Ok(());
        }
        match dialect::path_of_key(name) {
            Some(path) => self.assign(how, Names::Incidental, &path, value),
            None => Ok(()),
        }
    }

    /// Assigns a value to what the path names.
    pub(super) fn assign(&mut self, how: How, names: Names, path: &Path, value: &Value) -> Result<(), Error> {
        match self.resolve(path) {
            Ok(Some(Resolved::Schema(schema))) => self.assign_schema(how, schema, value),
            Ok(Some(Resolved::Attribute(target))) if is_read_only(&target) => match names {
                Names::Explicit => Err(Error::mutability(format!("{target} is readOnly"))),
                Names::Incidental => Ok(()),
            },
            Ok(Some(Resolved::Attribute(target))) if !target.attribute.stored => Ok(()),
            Ok(Some(Resolved::Attribute(target))) => match &path.filter {
                Some(filter) if target.attribute.is_plain_list() => {
                    self.assign_selected_plain(how, &target, filter, value)
                }
                Some(filter) => self.assign_selected(how, &target, filter, value),
                None => self.assign_target(how, &target, value),
            },
            Ok(None) | Err(_) if names == Names::Incidental => Ok(()),
            Ok(None) => {
                self.ignored.push(path.shown());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Removes what the path names, or only the listed values of it (RFC 7644 §3.5.2.2).
    /// Removing what is not there changes nothing.
    pub(super) fn remove(&mut self, path: &Path, listed: Option<&Value>) -> Result<(), Error> {
        let Some(target) = self.resolve(path)? else {
            self.ignored.push(path.shown());
            return Ok(());
        };
        let target = match target {
            Resolved::Schema(schema) if schema.id == self.resource_type.schema.id => {
                return Err(Error::mutability(format!("{} has required attributes", schema.id)));
            }
            Resolved::Schema(schema) => {
                self.members.remove(&*schema.id);
                return Ok(());
            }
            Resolved::Attribute(target) if is_read_only(&target) => {
                return Err(Error::mutability(format!("{target} is readOnly")));
            }
            Resolved::Attribute(target) if !target.attribute.stored => return Ok(()),
            Resolved::Attribute(target) if is_fixed_part(&target) => {
                return Err(Error::mutability(format!("{target} is immutable")));
            }
            Resolved::Attribute(target) => target,
        };
        match (&path.filter, dialect::listed(listed)) {
            (Some(filter), _) => self.remove_selected(&target, filter),
            (None, Some(listed)) if target.leaf().multi_valued => self.remove_listed(&target, listed),
            (None, _) => self.clear(&target),
        }
    }

    /// The rows that the path names; the part after a value filter is the sub-attribute. None if the schema has no such
    /// attribute.
    fn resolve(&self, path: &Path) -> Result<Option<Resolved<'a>>, Error> {
        let Some(resolved) = self.resource_type.resolve(path.attr.as_str()) else { return Ok(None) };
        let (target, filter) = match (resolved, &path.filter) {
            (Resolved::Attribute(target), Some(filter)) if target.attribute.stored => (target, filter),
            (Resolved::Schema(_), Some(_)) => {
                return Err(Error::invalid_path(format!("{} is not an attribute", path.shown())));
            }
            (resolved, _) => return Ok(Some(resolved)),
        };
        if target.sub.is_some() || !target.attribute.multi_valued {
            return Err(Error::invalid_path(format!("{} takes no value filter", path.shown())));
        }
        let name = path.sub.as_ref().filter(|name| !target.attribute.is_own_value(name.as_str()));
        let Some(name) = name else { return Ok(Some(resolved)) };
        let sub = target.attribute.sub_attribute(name.as_str());
        if sub.is_none() {
            // A filter that makes no sense is an error all the same.
            filter.matches_element(target.attribute, &Value::Null)?;
        }
        Ok(sub.map(|sub| Resolved::Attribute(Target { sub: Some(sub), ..target })))
    }

    fn assign_schema(&mut self, how: How, schema: &'a Schema, value: &Value) -> Result<(), Error> {
        match alone(value) {
            Value::Object(members) if !members.is_empty() => {
                check_names(&schema.id, members.keys())?;
                for (name, value) in members {
                    self.assign_named(how, &format!("{}:{name}", schema.id), value)?;
                }
                Ok(())
            }
            empty if is_empty(empty) => {
                self.members.remove(&*schema.id);
                Ok(())
            }
            _ => Err(Error::invalid_value(format!("{} must be an object", schema.id))),
        }
    }

    fn assign_target(&mut self, how: How, target: &Target<'a>, value: &Value) -> Result<(), Error> {
        match target.sub {
            Some(sub) if target.attribute.multi_valued => self.assign_everywhere(target, sub, value),
            Some(sub) => {
                let changes = [(sub, value)];
                let parent = Target { sub: None, ..*target };
                self.merge_complex(&parent, &changes)
            }
            None if target.attribute.multi_valued => self.assign_list(how, target, value),
            None if target.attribute.data_type == DataType::Complex => self.assign_complex(target, value),
            None => match coerce_one(target.attribute, target, value)? {
                Some(value) => {
                    self.container(target.extension).insert(target.attribute.name.to_string(), value);
                    Ok(())
                }
                // It is pushed empty, and cannot be without a value: as it is, then.
                None if target.attribute.default.is_some() => Ok(()),
                None => self.clear(target),
            },
        }
    }

    /// Sub-attributes that an object does not name stay as they are (RFC 7644 §3.5.2.3). A bare value is
    /// the whole of it: what was known of the old one does not describe the new one.
    fn assign_complex(&mut self, target: &Target<'a>, value: &Value) -> Result<(), Error> {
        let value = alone(value);
        if says_nothing(target.attribute, value) {
            return self.clear(target);
        }
        let given = as_complex(target.attribute, target, value)?;
        let changes = sub_values(target.attribute, target, &given)?;
        if !value.is_object() {
            self.clear(target)?;
        }
        self.merge_complex(target, &changes)
    }

    fn merge_complex(
        &mut self,
        target: &Target<'a>,
        changes: &[(&'a Attribute, &Value)],
    ) -> Result<(), Error> {
        let mut members = match self.container(target.extension).remove(&*target.attribute.name) {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        for (sub, value) in changes {
            assign_sub(&mut members, target, sub, value)?;
        }
        if !members.is_empty() {
            self.container(target.extension)
                .insert(target.attribute.name.to_string(), Value::Object(members));
        }
        Ok(())
    }

    fn assign_list(&mut self, how: How, target: &Target<'a>, value: &Value) -> Result<(), Error> {
        let given = coerce_elements(target.attribute, target, value)?;
        let elements = match how {
            How::Replace => given,
            How::Add => {
                let mut elements = self.take_elements(target);
                self.spend(given.len() * (elements.len() + given.len()))?;
                elements::add(target.attribute, &mut elements, given);
                check_count(target.attribute, target, elements.len())?;
                elements
            }
        };
        self.put_elements(target, elements);
        Ok(())
    }

    /// Unassigns the attribute or sub-attribute.
    fn clear(&mut self, target: &Target<'a>) -> Result<(), Error> {
        if target.leaf().default.is_some() {
            return Err(Error::mutability(format!("{target} cannot be removed: it always has a value")));
        }
        let container = self.container(target.extension);
        match (target.sub, container.get_mut(&*target.attribute.name)) {
            (None, _) => {
                container.remove(&*target.attribute.name);
            }
            (Some(sub), Some(Value::Object(members))) => {
                members.remove(&*sub.name);
            }
            (Some(sub), Some(Value::Array(elements))) => {
                for members in elements.iter_mut().filter_map(Value::as_object_mut) {
                    members.remove(&*sub.name);
                }
            }
            (Some(_), _) => {}
        }
        Ok(())
    }

    /// The object in which an attribute stands: the resource, or its extension.
    fn container(&mut self, extension: Option<&Schema>) -> &mut Map<String, Value> {
        let Some(schema) = extension else {
            return &mut self.members;
        };
        let container = self.members.entry(schema.id.to_string()).or_insert(Value::Null);
        if !container.is_object() {
            *container = Value::Object(Map::new());
        }
        container.as_object_mut().expect("it was made an object just now")
    }
}

fn is_read_only(target: &Target<'_>) -> bool {
    target.attribute.mutability == Mutability::ReadOnly || target.leaf().mutability == Mutability::ReadOnly
}

/// A part of the values of a list that is not theirs to lose.
fn is_fixed_part(target: &Target<'_>) -> bool {
    let is_immutable = |sub: &Attribute| sub.mutability == Mutability::Immutable;
    target.attribute.multi_valued && target.sub.is_some_and(is_immutable)
}

/// Assigns one sub-attribute; an empty value removes it. One that is immutable is assigned once.
fn assign_sub(
    members: &mut Map<String, Value>,
    parent: &dyn Display,
    sub: &Attribute,
    value: &Value,
) -> Result<(), Error> {
    let value = coerce_one(sub, &format_args!("{parent}.{}", sub.name), value)?;
    let old = members.get(&*sub.name);
    if sub.mutability == Mutability::Immutable && old.is_some() && old != value.as_ref() {
        return Err(Error::mutability(format!("{parent}.{} is immutable: it is set already", sub.name)));
    }
    match value {
        Some(value) => members.insert(sub.name.to_string(), value),
        None => members.remove(&*sub.name),
    };
    Ok(())
}

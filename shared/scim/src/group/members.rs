//! Separates the changes of a group's members from the changes of its attributes, which `Resource` and `Patch` handle.
//! Members bypass `draft`: only the size of the body limits them, and it is read once.

mod filters;
mod ids;

use std::collections::HashSet;

use serde_json::{Map, Value};
use uuid::Uuid;

use self::filters::{has_reference, selected_ids};
use self::ids::{ids, lists_nobody, names_somebody};
use super::MemberChange;
use super::displays::{self, Displays};
use crate::draft::{How, Names};
use crate::error::Error;
use crate::patch::{Op, Operation};
use crate::schema::{Attribute, Resolved, ResourceType};
use crate::syntax::lenient;
use crate::syntax::{AttrPath, Filter, Path};
use crate::value::alone;
use crate::value::lenient::elements;

/// The attribute's name.
const NAME: &str = "members";
/// The maximum number of comparisons in one request that are evaluated for every member. All tenants share the worker.
const MAX_MATCHING_TERMS: usize = 20;
/// The `type` of every member.
pub(super) const KIND: &str = "User";

/// The definition of `members`.
pub(super) fn attribute(resource_type: &ResourceType) -> Option<&Attribute> {
    resource_type.schema.attribute(NAME)
}

/// Collects the changes of the members and returns the rest.
pub(super) struct Split<'a> {
    resource_type: &'a ResourceType,
    changes: Vec<MemberChange>,
    displays: Displays,
    matching_terms: usize,
}

/// What a path or key refers to.
enum About<'a> {
    Members {
        members: &'a Attribute,
        sub: Option<&'a Attribute>,
    },
    /// All attributes of the core schema, members among them.
    Core,
    Rest,
}

impl<'a> Split<'a> {
    pub(super) fn new(resource_type: &'a ResourceType) -> Self {
        Self { resource_type, changes: Vec::new(), displays: Displays::new(), matching_terms: 0 }
    }

    pub(super) fn into_changes(self) -> (Vec<MemberChange>, Displays) {
        (self.changes, self.displays)
    }

    /// Processes one operation of a PATCH and returns the rest, which concerns attributes.
    pub(super) fn operation(&mut self, operation: Operation) -> Result<Option<Operation>, Error> {
        if let Some(path) = &operation.path
            && let Some(unknown) = self.unknown_part(path)?
        {
            let value = operation.value.map(|_| Value::Null);
            return Ok(Some(Operation { path: Some(unknown), value, ..operation }));
        }
        let how = match operation.op {
            Op::Add => How::Add,
            Op::Replace => How::Replace,
            Op::Remove => {
                return match &operation.path {
                    Some(path) if matches!(self.about(path.attr.as_str()), About::Members { .. }) => {
                        self.remove(path, operation.value.as_ref())?;
                        Ok(None)
                    }
                    _ => Ok(Some(operation)),
                };
            }
        };
        let about = operation.path.as_ref().map_or(About::Core, |path| self.about(path.attr.as_str()));
        let rest = match (about, &operation.path, &operation.value) {
            (About::Members { .. }, Some(path), Some(value)) => {
                self.assign(how, Names::Explicit, path, value)?;
                return Ok(None);
            }
            (About::Core, None, Some(Value::Object(given))) => self.keys(how, "", given)?,
            (About::Core, Some(path), Some(value)) if path.filter.is_none() => match alone(value) {
                Value::Object(given) => self.keys(how, path.attr.as_str(), given)?,
                _ => return Ok(Some(operation)),
            },
            _ => return Ok(Some(operation)),
        };
        let rest = (!rest.is_empty()).then_some(rest);
        Ok(rest.map(|rest| Operation { value: Some(Value::Object(rest)), ..operation }))
    }

    /// Processes the body of a POST or PUT and returns it without its members.
    pub(super) fn object(
        &mut self,
        how: How,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Error> {
        self.keys(how, "", given)
    }

    /// Processes the keys of a larger value, each of which is a path, and returns those that do not concern members.
    /// `urn` is the URN of the schema that contains the keys, or empty.
    fn keys(&mut self, how: How, urn: &str, given: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        let mut rest = Map::new();
        let mut seen = HashSet::new();
        for (name, value) in given {
            let path = if urn.is_empty() { name.clone() } else { format!("{urn}:{name}") };
            match self.about(path.split('[').next().unwrap_or_default()) {
                About::Members { .. } => {
                    if !seen.insert(name.to_ascii_lowercase()) {
                        return Err(Error::invalid_syntax("members is given twice"));
                    }
                    if let Some(path) = lenient::path_of_key(&path) {
                        self.assign(how, Names::Incidental, &path, value)?;
                    }
                }
                About::Core => {
                    let inner = match alone(value) {
                        Value::Object(given) => Value::Object(self.keys(how, &path, given)?),
                        other => other.clone(),
                    };
                    rest.insert(name.clone(), inner);
                }
                About::Rest => {
                    rest.insert(name.clone(), value.clone());
                }
            }
        }
        Ok(rest)
    }

    fn about(&self, path: &str) -> About<'a> {
        match self.resource_type.resolve(path) {
            Some(Resolved::Schema(schema)) if schema.id == self.resource_type.schema.id => About::Core,
            Some(Resolved::Attribute(target))
                if target.extension.is_none() && target.attribute.name == NAME =>
            {
                About::Members { members: target.attribute, sub: target.sub }
            }
            _ => About::Rest,
        }
    }

    /// The path, without its value filter, if it names a part that members do not have. It is ignored like any unknown
    /// attribute.
    fn unknown_part(&self, path: &Path) -> Result<Option<Path>, Error> {
        let (About::Members { members, .. }, Some(name)) = (self.about(path.attr.as_str()), &path.sub) else {
            return Ok(None);
        };
        if members.sub_attribute(name.as_str()).is_some() {
            return Ok(None);
        }
        // An invalid filter is an error nevertheless.
        self.sub(&Path { sub: None, ..path.clone() })?;
        let attr = AttrPath::from_grammar(&format!("{}.{name}", path.attr));
        Ok(Some(Path { attr, filter: None, sub: None }))
    }

    /// The sub-attribute that the path names. An invalid value filter is an error.
    fn sub(&self, path: &Path) -> Result<Option<&'a Attribute>, Error> {
        let unknown = || Error::invalid_path(format!("{} is not an attribute", path.shown()));
        let About::Members { members, sub } = self.about(path.attr.as_str()) else { return Err(unknown()) };
        let Some(filter) = &path.filter else { return Ok(sub) };
        if sub.is_some() {
            return Err(Error::invalid_path(format!("{} does not support a value filter", path.shown())));
        }
        filter.matches_element(members, &Value::Null)?;
        if has_reference(filter) {
            return Err(Error::invalid_filter("members cannot be selected by $ref; use value"));
        }
        path.sub.as_ref().map(|name| members.sub_attribute(name.as_str()).ok_or_else(unknown)).transpose()
    }

    /// RFC 7644 §3.5.2.1 and §3.5.2.3.
    fn assign(&mut self, how: How, names: Names, path: &Path, value: &Value) -> Result<(), Error> {
        let sub = match self.sub(path) {
            Ok(sub) => sub,
            Err(_) if names == Names::Incidental => return Ok(()),
            Err(error) => return Err(error),
        };
        match (sub, &path.filter) {
            (Some(sub), Some(filter)) if is_display(sub) => self.call(filter, Some(value)),
            (Some(sub), None) if is_display(sub) && names == Names::Incidental => Ok(()),
            (Some(sub), None) if sub.name == "value" && how == How::Add => self.add(ids(value)?),
            (Some(sub), _) => Err(fixed(sub)),
            (None, None) if how == How::Add => {
                displays::collect(&mut self.displays, value)?;
                self.add(ids(value)?)
            }
            (None, None) => {
                displays::collect(&mut self.displays, value)?;
                self.changes.push(MemberChange::Replace(ids(value)?));
                Ok(())
            }
            (None, Some(filter)) => self.assign_selected(how, filter, value),
        }
    }

    /// `members[value eq "…"]`: a member may be repeated or removed, but not replaced by another.
    fn assign_selected(&mut self, how: How, filter: &Filter, value: &Value) -> Result<(), Error> {
        if lists_nobody(value) {
            return if how == How::Replace { self.remove_selected(filter) } else { Ok(()) };
        }
        let given: Vec<Value> =
            elements(value).iter().filter(|element| names_somebody(element)).cloned().collect();
        let given = Value::Array(given);
        let (ids, selected) = (ids(&given)?, selected_ids(filter).unwrap_or_default());
        if ids.iter().all(|id| selected.contains(id)) {
            displays::collect(&mut self.displays, &given)?;
            return self.add(ids);
        }
        Err(Error::mutability("members.value is immutable; remove the old member and add the new one"))
    }

    /// RFC 7644 §3.5.2.2.
    fn remove(&mut self, path: &Path, listed: Option<&Value>) -> Result<(), Error> {
        let sub = self.sub(path)?;
        match (sub, &path.filter, crate::value::lenient::listed(listed)) {
            (Some(sub), None, Some(listed)) if sub.name == "value" => self.remove_listed(listed),
            (Some(sub), Some(filter), _) if is_display(sub) => self.call(filter, None),
            (Some(sub), _, _) => Err(fixed(sub)),
            (None, Some(filter), _) => self.remove_selected(filter),
            (None, None, Some(listed)) => self.remove_listed(listed),
            (None, None, _) => {
                self.changes.push(MemberChange::Replace(Vec::new()));
                Ok(())
            }
        }
    }

    /// `members[value eq "…"].display`: sets the display name of a member.
    fn call(&mut self, filter: &Filter, value: Option<&Value>) -> Result<(), Error> {
        let Some(ids) = selected_ids(filter) else {
            let detail = "members.display can only be set for members selected by value";
            return Err(Error::invalid_filter(detail));
        };
        displays::set(&mut self.displays, ids, value)
    }

    fn add(&mut self, ids: Vec<Uuid>) -> Result<(), Error> {
        self.changes.extend((!ids.is_empty()).then_some(MemberChange::Add(ids)));
        Ok(())
    }

    fn remove_listed(&mut self, listed: &Value) -> Result<(), Error> {
        let ids = ids(listed)?;
        self.changes.extend((!ids.is_empty()).then_some(MemberChange::Remove(ids)));
        Ok(())
    }

    fn remove_selected(&mut self, filter: &Filter) -> Result<(), Error> {
        match selected_ids(filter) {
            Some(ids) => self.changes.extend((!ids.is_empty()).then_some(MemberChange::Remove(ids))),
            None => {
                self.matching_terms += filter.terms();
                if self.matching_terms > MAX_MATCHING_TERMS {
                    let detail = format!(
                        "more than {MAX_MATCHING_TERMS} comparisons on attributes other than value; split the request"
                    );
                    return Err(Error::payload_too_large(detail));
                }
                self.changes.push(MemberChange::RemoveMatching(filter.clone()));
            }
        }
        Ok(())
    }
}

fn fixed(sub: &Attribute) -> Error {
    if is_display(sub) {
        return Error::mutability(
            "members.display can only be set for one member: members[value eq \"…\"].display",
        );
    }
    Error::mutability(format!("members.{} is {}", sub.name, sub.mutability.as_str()))
}

fn is_display(sub: &Attribute) -> bool {
    sub.name == "display"
}

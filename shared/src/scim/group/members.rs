//! What a body or an operation does to the members of a group, told apart from what it does to the attributes.
//!
//! Before it: `group`. After it: the changes in the fold's words, and the rest for `Resource` and `Patch`. Members never
//! pass through `draft`: no limit of values or work holds for them but that of the body, which is read once.

use std::collections::HashSet;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::MemberChange;
use super::displays::{self, Displays};
use crate::scim::dialect::{self, Names, elements};
use crate::scim::draft::How;
use crate::scim::error::Error;
use crate::scim::filter::{CompareOp, Filter, ValuePath};
use crate::scim::patch::{Op, Operation};
use crate::scim::path::{AttrPath, Path};
use crate::scim::schema::{Attribute, Resolved, ResourceType};
use crate::scim::value::{alone, is_empty};

/// The attribute's name.
const NAME: &str = "members";
/// The most comparisons of one request that every member is held against: a worker's time is everybody's.
const MAX_MATCHING_TERMS: usize = 20;
/// The `type` of every member.
pub(super) const KIND: &str = "User";

/// The row of the table.
pub(super) fn attribute(resource_type: &ResourceType) -> Option<&Attribute> {
    resource_type.schema.attribute(NAME)
}

/// Collects the changes of the members and leaves the rest.
pub(super) struct Split<'a> {
    resource_type: &'a ResourceType,
    changes: Vec<MemberChange>,
    displays: Displays,
    matching_terms: usize,
}

/// What a path or a key is about.
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

    /// One operation of a PATCH; what is left of it concerns attributes.
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

    /// The body of a POST or PUT, without its members.
    pub(super) fn object(
        &mut self,
        how: How,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Error> {
        self.keys(how, "", given)
    }

    /// The keys of a larger value, each a path, without those that are about members. Under `urn` is what the schema's URN
    /// stands before.
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
                    if let Some(path) = dialect::path_of_key(&path) {
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

    /// The path, without what selects, to a part that members do not have: like every unknown attribute it is ignored.
    fn unknown_part(&self, path: &Path) -> Result<Option<Path>, Error> {
        let (About::Members { members, .. }, Some(name)) = (self.about(path.attr.as_str()), &path.sub) else {
            return Ok(None);
        };
        if members.sub_attribute(name.as_str()).is_some() {
            return Ok(None);
        }
        // A filter that makes no sense is an error all the same.
        self.sub(&Path { sub: None, ..path.clone() })?;
        let attr = AttrPath::from_grammar(&format!("{}.{name}", path.attr));
        Ok(Some(Path { attr, filter: None, sub: None }))
    }

    /// The sub-attribute that the path goes to; a value filter that makes no sense is refused.
    fn sub(&self, path: &Path) -> Result<Option<&'a Attribute>, Error> {
        let unknown = || Error::invalid_path(format!("{} is not an attribute", path.shown()));
        let About::Members { members, sub } = self.about(path.attr.as_str()) else { return Err(unknown()) };
        let Some(filter) = &path.filter else { return Ok(sub) };
        if sub.is_some() {
            return Err(Error::invalid_path(format!("{} takes no value filter", path.shown())));
        }
        filter.matches_element(members, &Value::Null)?;
        if has_reference(filter) {
            return Err(Error::invalid_filter("members are not selected by $ref: use value"));
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

    /// `members[value eq "…"]`: a member cannot become somebody else, but may be said once more, or be left out.
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
        Err(Error::mutability("members.value is immutable: remove the one member and add the other"))
    }

    /// RFC 7644 §3.5.2.2.
    fn remove(&mut self, path: &Path, listed: Option<&Value>) -> Result<(), Error> {
        let sub = self.sub(path)?;
        match (sub, &path.filter, dialect::listed(listed)) {
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

    /// `members[value eq "…"].display`: what the client calls a member.
    fn call(&mut self, filter: &Filter, value: Option<&Value>) -> Result<(), Error> {
        let Some(ids) = selected_ids(filter) else {
            let detail = "members.display is set for members that are selected by value alone";
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
                        "more than {MAX_MATCHING_TERMS} comparisons select members by other than value; send less at a time"
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
            "members.display is set for one member, as in members[value eq \"…\"].display",
        );
    }
    Error::mutability(format!("members.{} is {}", sub.name, sub.mutability.as_str()))
}

fn is_display(sub: &Attribute) -> bool {
    sub.name == "display"
}

/// The ids that the filter selects, if it selects by ids alone: `value eq`, joined by `or` or `and`, and the `type` that
/// all members have.
fn selected_ids(filter: &Filter) -> Option<Vec<Uuid>> {
    match filter {
        Filter::Compare { path, op: CompareOp::Equal, value: Value::String(text) }
            if path.as_str().eq_ignore_ascii_case("value") =>
        {
            Some(vec![id(text)])
        }
        Filter::Or(items) => items.iter().try_fold(Vec::new(), |mut ids, item| {
            ids.extend(selected_ids(item)?);
            Some(ids)
        }),
        Filter::And(items) => {
            let mut selected: Option<Vec<Uuid>> = None;
            for item in items.iter().filter(|item| !says_user(item)) {
                let ids = selected_ids(item)?;
                match &mut selected {
                    Some(selected) => selected.retain(|id| ids.contains(id)),
                    None => selected = Some(ids),
                }
            }
            selected
        }
        _ => None,
    }
}

/// `type eq "User"`, which is true of every member.
fn says_user(filter: &Filter) -> bool {
    match filter {
        Filter::Compare { path, op: CompareOp::Equal, value: Value::String(text) } => {
            path.as_str().eq_ignore_ascii_case("type") && text.eq_ignore_ascii_case(KIND)
        }
        _ => false,
    }
}

/// `$ref` follows from the id and from the URL by which we are addressed, which the worker does not know.
fn has_reference(filter: &Filter) -> bool {
    match filter {
        Filter::And(items) | Filter::Or(items) => items.iter().any(has_reference),
        Filter::Not(inner) => has_reference(inner),
        Filter::Compare { path, .. } | Filter::Present(path) => path.as_str().eq_ignore_ascii_case("$ref"),
        Filter::ValuePath(ValuePath { filter, .. }) => has_reference(filter),
    }
}

/// Whether the value means that nobody is a member: null and `[]` do, and nothing else.
fn lists_nobody(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Whether the element is to say who somebody is; else it tells of the member something that follows from the person.
fn names_somebody(element: &Value) -> bool {
    element.as_object().is_none_or(|members| members.is_empty() || members.keys().any(|name| is_value(name)))
}

fn is_value(name: &str) -> bool {
    name.eq_ignore_ascii_case("value")
}

/// The ids that the value lists: objects with a `value`, or bare ids. A blank among them is an error: its client looked for
/// an id and found none, and nobody must leave a group for that.
fn ids(value: &Value) -> Result<Vec<Uuid>, Error> {
    if lists_nobody(value) {
        return Ok(Vec::new());
    }
    elements(value).iter().enumerate().map(|(position, element)| id_of(position, element)).collect()
}

fn id_of(position: usize, element: &Value) -> Result<Uuid, Error> {
    let wrong = |what: &str| Err(Error::invalid_value(format!("members[{position}]{what}")));
    let given = match element {
        Value::Object(members) => {
            let mut values = members.iter().filter(|(name, _)| is_value(name)).map(|(_, value)| value);
            match (values.next(), values.next()) {
                (_, Some(_)) => {
                    let detail = format!("members[{position}].value is given twice");
                    return Err(Error::invalid_syntax(detail));
                }
                (Some(value), None) if !(value.is_string() || is_empty(value)) => {
                    return wrong(".value must be a string");
                }
                (value, None) => value.unwrap_or(&Value::Null),
            }
        }
        bare if bare.is_string() || is_empty(bare) => bare,
        _ => return wrong(" must be an object with a value"),
    };
    match given.as_str().map(str::trim) {
        None | Some("") => wrong(".value is required"),
        Some(_) => Ok(id(given.as_str().unwrap_or_default())),
    }
}

/// The id; any other text is nobody's.
fn id(text: &str) -> Uuid {
    crate::id::parse(text).unwrap_or_default()
}

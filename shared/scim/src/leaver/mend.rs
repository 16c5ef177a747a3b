//! Restores attributes that became invalid to their old values, so that the resource is canonical again.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::ACTIVE;
use crate::applied::Applied;
use crate::draft::{excessive_size, is_blank, lacking, tidy};
use crate::resource::{Resource, check_immutable};
use crate::schema::{Attribute, Resolved, ResourceType, Schema, Target};

/// A resource whose invalid attributes are being restored.
pub(super) struct Mending<'a> {
    resource_type: &'a ResourceType,
    before: &'a Map<String, Value>,
    members: Map<String, Value>,
    left: Vec<String>,
    keeps_omitted: bool,
}

/// The attributes of one object: the core attributes or those of an extension.
struct Part<'a> {
    /// The prefix of their names.
    prefix: String,
    before: &'a Map<String, Value>,
    members: Map<String, Value>,
    left: Vec<String>,
}

/// The members without invalid attributes, whose names are added to `left`.
pub(super) fn tidied(
    resource_type: &ResourceType,
    members: Map<String, Value>,
    left: &mut Vec<String>,
) -> Map<String, Value> {
    let mut mending = Mending::new(resource_type, &NOTHING, members, std::mem::take(left));
    mending.core(Part::tidy);
    for schema in &resource_type.extensions {
        mending.extension(schema, |part| part.tidy(&schema.attributes.iter().collect::<Vec<_>>()));
    }
    mending.name_schemas();
    *left = mending.left;
    mending.members
}

static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl<'a> Mending<'a> {
    pub(super) fn new(
        resource_type: &'a ResourceType,
        before: &'a Map<String, Value>,
        members: Map<String, Value>,
        left: Vec<String>,
    ) -> Self {
        Self { resource_type, before, members, left, keeps_omitted: false }
    }

    /// Keeps the old values of omitted attributes. Used for a body that is not a complete resource.
    pub(super) fn keeping_omitted(mut self) -> Self {
        self.keeps_omitted = true;
        self
    }

    /// Restores the attribute with this canonical name.
    pub(super) fn leave(&mut self, name: &str) {
        let Some(Resolved::Attribute(Target { extension, attribute, sub })) =
            self.resource_type.resolve(name)
        else {
            return;
        };
        match extension {
            Some(schema) => self.extension(schema, |part| {
                part.leave(attribute, sub);
            }),
            None => self.core(|part, _| {
                part.leave(attribute, sub);
            }),
        }
    }

    /// The resource, if it is inactive.
    pub(super) fn finish(mut self) -> Option<Applied> {
        let (resource_type, keeps_omitted) = (self.resource_type, self.keeps_omitted);
        self.core(|part, attributes| {
            part.tidy(attributes);
            part.keep_immutable(attributes);
            part.complete(attributes);
            if keeps_omitted {
                part.keep_omitted(attributes);
            }
        });
        for schema in &resource_type.extensions {
            let attributes: Vec<&Attribute> = schema.attributes.iter().collect();
            self.extension(schema, |part| {
                part.tidy(&attributes);
                part.keep_immutable(&attributes);
                // Extensions are optional, but one that is present must be complete.
                if !part.members.is_empty() {
                    part.complete(&attributes);
                    part.withdraw(&attributes);
                }
                if keeps_omitted {
                    part.keep_omitted(&attributes);
                }
            });
        }
        if excessive_size(&self.members).is_some() {
            self.leave_all();
        }
        self.name_schemas();
        let resource = Resource::from_members(self.members);
        (resource.active() == Some(false)).then(|| Applied::of(resource, self.left))
    }

    fn core(&mut self, mend: impl FnOnce(&mut Part<'a>, &[&Attribute])) {
        let resource_type = self.resource_type;
        let attributes: Vec<&Attribute> = resource_type.core_attributes().collect();
        let mut part = Part {
            prefix: String::new(),
            before: self.before,
            members: std::mem::take(&mut self.members),
            left: std::mem::take(&mut self.left),
        };
        mend(&mut part, &attributes);
        (self.members, self.left) = (part.members, part.left);
    }

    fn extension(&mut self, schema: &Schema, mend: impl FnOnce(&mut Part<'a>)) {
        let members = match self.members.remove(&*schema.id) {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        let mut part = Part {
            prefix: format!("{}:", schema.id),
            before: self.before.get(&*schema.id).and_then(Value::as_object).unwrap_or(&NOTHING),
            members,
            left: std::mem::take(&mut self.left),
        };
        mend(&mut part);
        self.left = part.left;
        if !part.members.is_empty() {
            self.members.insert(schema.id.to_string(), Value::Object(part.members));
        }
    }

    /// Restores everything except `active`, because the resource has become too large.
    fn leave_all(&mut self) {
        let names = self.members.keys().chain(self.before.keys());
        let changed =
            names.filter(|name| *name != ACTIVE && self.members.get(*name) != self.before.get(*name));
        self.left.extend(changed.cloned());
        let active = self.members.remove(ACTIVE);
        self.members = self.before.clone();
        self.members.extend(active.map(|active| (ACTIVE.to_owned(), active)));
    }

    fn name_schemas(&mut self) {
        let schemas = self.resource_type.used_schemas(&self.members);
        self.members.insert("schemas".to_owned(), Value::Array(schemas));
    }
}

impl Part<'_> {
    /// Removes empty values and restores invalid lists.
    fn tidy(&mut self, attributes: &[&Attribute]) {
        for attribute in attributes {
            if tidy(&self.prefix, &mut self.members, std::iter::once(*attribute)).is_err() {
                self.leave(attribute, None);
                self.name(attribute, None);
            }
        }
    }

    /// Restores immutable attributes that changed.
    fn keep_immutable(&mut self, attributes: &[&Attribute]) {
        for attribute in attributes {
            let only = std::iter::once(*attribute);
            if check_immutable(&self.prefix, only, self.before, &self.members).is_err() {
                self.leave(attribute, None);
                self.name(attribute, None);
            }
        }
    }

    /// Restores required attributes that are now missing.
    fn complete(&mut self, attributes: &[&Attribute]) {
        for attribute in attributes {
            if !self.lacks(attribute) {
                continue;
            }
            if self.members.get(&*attribute.name).is_some_and(Value::is_object) {
                for sub in attribute.sub_attributes.iter().filter(|sub| sub.required) {
                    if self.lacks_part(attribute, sub) && self.leave(attribute, Some(sub)) {
                        self.name(attribute, Some(sub));
                    }
                }
            }
            // An attribute that was missing before may stay missing.
            if self.lacks(attribute) && self.leave(attribute, None) {
                self.name(attribute, None);
            }
        }
    }

    /// Restores omitted attributes.
    fn keep_omitted(&mut self, attributes: &[&Attribute]) {
        for attribute in attributes {
            if !self.members.contains_key(&*attribute.name) {
                self.leave(attribute, None);
            }
        }
    }

    /// Restores an extension that is still incomplete.
    fn withdraw(&mut self, attributes: &[&Attribute]) {
        if attributes.iter().any(|attribute| self.lacks(attribute)) {
            for attribute in attributes {
                if self.leave(attribute, None) {
                    self.name(attribute, None);
                }
            }
        }
    }

    fn lacks(&self, attribute: &Attribute) -> bool {
        lacking(&self.prefix, std::iter::once(attribute), &self.members).is_some()
    }

    fn lacks_part(&self, attribute: &Attribute, sub: &Attribute) -> bool {
        is_blank(self.members.get(&*attribute.name).and_then(|parts| parts.get(&*sub.name)))
    }

    /// Restores an attribute or a part of it, and returns whether that changed it. A list is restored as a whole,
    /// because its old and new values cannot be matched.
    fn leave(&mut self, attribute: &Attribute, sub: Option<&Attribute>) -> bool {
        let old = self.before.get(&*attribute.name);
        let Some(sub) = sub.filter(|_| !attribute.multi_valued) else {
            return set(&mut self.members, &attribute.name, old);
        };
        let mut parts = match self.members.get(&*attribute.name) {
            Some(Value::Object(parts)) => parts.clone(),
            _ => Map::new(),
        };
        let is_change = set(&mut parts, &sub.name, old.and_then(|old| old.get(&*sub.name)));
        let parts = (!parts.is_empty()).then_some(Value::Object(parts));
        set(&mut self.members, &attribute.name, parts.as_ref());
        is_change
    }

    fn name(&mut self, attribute: &Attribute, sub: Option<&Attribute>) {
        let dotted = sub.map(|sub| format!(".{}", sub.name)).unwrap_or_default();
        self.left.push(format!("{}{}{dotted}", self.prefix, attribute.name));
    }
}

/// Sets or removes a value, and returns whether that changed it.
fn set(members: &mut Map<String, Value>, name: &str, value: Option<&Value>) -> bool {
    if members.get(name) == value {
        return false;
    }
    match value {
        Some(value) => members.insert(name.to_owned(), value.clone()),
        None => members.remove(name),
    };
    true
}

//! The attributes that a representation contains (RFC 7644 §3.9), by the query parameters `attributes` and
//! `excludedAttributes`. Attributes with `returned: always` are always included, those with `never` never.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::error::Error;
use super::schema::{Attribute, Resolved, ResourceType, Returned, Target};

/// The maximum number of attributes in a list. Each is looked up for each resource of a page, and a User has fewer.
pub const MAX_NAMES: usize = 200;

/// The requested `attributes` or `excludedAttributes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection(Asked);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Default,
    Only(Vec<String>),
    Except(Vec<String>),
}

impl Projection {
    /// The attributes that are returned by default.
    pub fn all() -> Self {
        Self::default()
    }

    /// Parses the two parameters: comma-separated lists of attribute paths. An empty list counts as absent.
    ///
    /// # Errors
    /// 400 `invalidValue` if both are given, which RFC 7644 §3.9 does not allow, or if a list has too many names.
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, Error> {
        let (attributes, excluded) = (names(attributes), names(excluded));
        if let Some(names) =
            [&attributes, &excluded].into_iter().flatten().find(|names| names.len() > MAX_NAMES)
        {
            let detail =
                format!("the list has {} attributes, more than the {MAX_NAMES} allowed", names.len());
            return Err(Error::invalid_value(detail));
        }
        match (attributes, excluded) {
            (None, None) => Ok(Self::all()),
            (Some(only), None) => Ok(Self(Asked::Only(only))),
            (None, Some(except)) => Ok(Self(Asked::Except(except))),
            (Some(_), Some(_)) => {
                Err(Error::invalid_value("attributes and excludedAttributes cannot be combined"))
            }
        }
    }

    /// Whether the attribute with this canonical path can be part of the response, so that costly ones are loaded only
    /// then.
    pub fn shows(&self, resource_type: &ResourceType, path: &str) -> bool {
        let Some(Resolved::Attribute(target)) = resource_type.resolve(path) else { return false };
        let urn = target.extension.map_or(&*resource_type.schema.id, |schema| &schema.id);
        self.view(resource_type).fate(target.attribute, &target.to_string(), urn) != Fate::Drop
    }

    pub(super) fn apply(&self, resource_type: &ResourceType, mut members: Map<String, Value>) -> Value {
        let view = self.view(resource_type);
        let mut extended = Map::new();
        for schema in &resource_type.extensions {
            if let Some(Value::Object(members)) = members.remove(&*schema.id) {
                let members = view.members(members, &schema.id, |name| {
                    Some(Target { extension: Some(schema), attribute: schema.attribute(name)?, sub: None })
                });
                extended.insert(schema.id.to_string(), Value::Object(members));
            }
        }
        extended.retain(|_, members| members.as_object().is_some_and(|members| !members.is_empty()));
        let mut shown = view.members(members, &resource_type.schema.id, |name| {
            let attribute = resource_type.core_attributes().find(|attribute| attribute.name == name)?;
            Some(Target { extension: None, attribute, sub: None })
        });
        shown.append(&mut extended);
        Value::Object(shown)
    }

    fn view(&self, resource_type: &ResourceType) -> View {
        let canonical =
            |names: &Vec<String>| names.iter().filter_map(|name| canonical(resource_type, name)).collect();
        match &self.0 {
            Asked::Default => View { asked: HashSet::new(), mode: Mode::Default },
            Asked::Only(names) => View { asked: canonical(names), mode: Mode::Only },
            Asked::Except(names) => View { asked: canonical(names), mode: Mode::Except },
        }
    }
}

fn names(parameter: Option<&str>) -> Option<Vec<String>> {
    let names = parameter?.split(',').map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    (!names.is_empty()).then_some(names)
}

/// Whether all sub-attributes are returned by default, so that the attribute needs no filtering.
fn has_plain_parts(attribute: &Attribute) -> bool {
    attribute.sub_attributes.iter().all(|sub| sub.returned == Returned::Default)
}

/// The canonical path. `None` for an unknown attribute, which is not an error.
fn canonical(resource_type: &ResourceType, name: &str) -> Option<String> {
    match resource_type.resolve(name)? {
        Resolved::Schema(schema) => Some(schema.id.to_string()),
        Resolved::Attribute(target) => Some(target.to_string()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Default,
    Only,
    Except,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Keep the whole attribute.
    Keep,
    /// Drop the whole attribute.
    Drop,
    /// Keep the parts that were requested, or that were not excluded.
    Parts,
    /// Keep only the parts that are always returned.
    Always,
}

/// The parameters as canonical paths.
struct View {
    asked: HashSet<String>,
    mode: Mode,
}

impl View {
    /// The members of the resource or of one extension that are included.
    fn members<'a>(
        &self,
        members: Map<String, Value>,
        urn: &str,
        row: impl Fn(&str) -> Option<Target<'a>>,
    ) -> Map<String, Value> {
        let shown = members.into_iter().filter_map(|(name, value)| {
            let target = row(&name)?;
            let path = target.to_string();
            let shown = match self.fate(target.attribute, &path, urn) {
                Fate::Drop => return None,
                Fate::Keep if has_plain_parts(target.attribute) => value,
                fate => self.parts(target.attribute, &path, fate, value)?,
            };
            Some((name, shown))
        });
        shown.collect()
    }

    fn fate(&self, attribute: &Attribute, path: &str, urn: &str) -> Fate {
        let is_asked = self.asked.contains(path) || self.asked.contains(urn);
        let is_part = |asked: &String| asked.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        let has_asked_parts = self.asked.iter().any(is_part);
        let is_always = |sub: &Attribute| sub.returned == Returned::Always;
        let rest = if attribute.sub_attributes.iter().any(is_always) { Fate::Always } else { Fate::Drop };
        match (attribute.returned, self.mode) {
            (Returned::Never, _) => Fate::Drop,
            (Returned::Always, _) => Fate::Keep,
            (Returned::Request, Mode::Default | Mode::Except) => Fate::Drop,
            (Returned::Default, Mode::Default) => Fate::Keep,
            (_, Mode::Only) if is_asked => Fate::Keep,
            (_, Mode::Except) if is_asked => rest,
            (_, Mode::Only | Mode::Except) if has_asked_parts => Fate::Parts,
            (_, Mode::Only) => rest,
            (Returned::Default, Mode::Except) => Fate::Keep,
        }
    }

    fn parts(&self, attribute: &Attribute, path: &str, fate: Fate, value: Value) -> Option<Value> {
        match value {
            Value::Object(members) => {
                let is_shown = |name: &str| {
                    let is_asked = self.asked.contains(&format!("{path}.{name}"));
                    match attribute.sub_attribute(name).map(|sub| sub.returned) {
                        None | Some(Returned::Never) => false,
                        Some(Returned::Always) => true,
                        Some(Returned::Request) => is_asked && self.mode == Mode::Only,
                        Some(Returned::Default) => match fate {
                            Fate::Keep => true,
                            Fate::Parts => is_asked == (self.mode == Mode::Only),
                            Fate::Always | Fate::Drop => false,
                        },
                    }
                };
                let members: Map<_, _> = members.into_iter().filter(|(name, _)| is_shown(name)).collect();
                (!members.is_empty()).then_some(Value::Object(members))
            }
            // An empty list of members stays an empty list, whichever sub-attributes are requested.
            Value::Array(elements) if elements.is_empty() => Some(Value::Array(elements)),
            Value::Array(elements) => {
                let elements =
                    elements.into_iter().filter_map(|element| self.parts(attribute, path, fate, element));
                let elements: Vec<Value> = elements.collect();
                (!elements.is_empty()).then_some(Value::Array(elements))
            }
            value => Some(value),
        }
    }
}

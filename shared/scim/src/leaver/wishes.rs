//! Splits a PATCH or the body of a PUT into the smallest changes that can succeed or fail independently.

use serde_json::{Map, Value};

use crate::draft::{Draft, How, in_order};
use crate::error::{Error, echo};
use crate::json::check_names;
use crate::patch::{Operation, Patch};
use crate::schema::{DataType, Resolved, ResourceType, Target};
use crate::syntax::Path;
use crate::syntax::lenient;
use crate::value::alone;
use crate::value::lenient::says_nothing;

/// One independent change.
pub(super) struct Wish<'a, 'v> {
    /// The attribute's name as it is reported.
    pub name: String,
    /// The attribute's definition; `None` for an unknown attribute and for a whole schema.
    pub target: Option<Target<'a>>,
    ask: Ask<'v>,
}

enum Ask<'v> {
    /// A whole operation.
    Operation(&'v Operation),
    /// A value for the path given by a key of a larger value.
    Key(How, String, &'v Value),
}

impl<'a> Wish<'a, '_> {
    /// Whether the change concerns this core attribute.
    pub(super) fn is_about(&self, name: &str) -> bool {
        self.target.is_some_and(|target| target.extension.is_none() && target.attribute.name == name)
    }

    /// Whether the changed attribute is stored and writable.
    pub(super) fn is_kept(&self) -> bool {
        self.target.is_some_and(|target| target.attribute.is_writable())
    }

    /// Applies the change.
    ///
    /// # Errors
    /// The error of the change. The attribute may be partly changed.
    pub(super) fn fulfil(&self, draft: &mut Draft<'a>) -> Result<(), Error> {
        match &self.ask {
            Ask::Operation(operation) => operation.apply(draft),
            Ask::Key(how, key, value) => draft.assign_named(*how, key, value),
        }
    }
}

/// The changes in the body of a PUT.
pub(super) fn of_body<'a, 'v>(
    resource_type: &'a ResourceType,
    given: impl Iterator<Item = (&'v String, &'v Value)>,
) -> Vec<Wish<'a, 'v>> {
    let mut wishes = Vec::new();
    for (name, value) in in_order(resource_type, given) {
        split(resource_type, How::Replace, name.clone(), value, &mut wishes);
    }
    wishes
}

/// The changes in a PATCH, in sequence.
pub(super) fn of_patch<'a, 'v>(resource_type: &'a ResourceType, patch: &'v Patch) -> Vec<Wish<'a, 'v>> {
    let mut wishes = Vec::new();
    for operation in patch.operations() {
        let path = operation.path.as_ref().filter(|path| path.filter.is_none());
        match (operation.how(), &operation.path, path, &operation.value) {
            (Some(how), None, _, Some(Value::Object(given))) if are_names(given) => {
                for (name, value) in in_order(resource_type, given.iter()) {
                    split(resource_type, how, name.clone(), value, &mut wishes);
                }
            }
            (Some(how), _, Some(path), Some(value))
                if parts(resource_type, path.attr.as_str(), value).is_some() =>
            {
                split(resource_type, how, path.attr.as_str().to_owned(), value, &mut wishes);
            }
            _ => wishes.push(whole(resource_type, operation)),
        }
    }
    wishes
}

fn whole<'a, 'v>(resource_type: &'a ResourceType, operation: &'v Operation) -> Wish<'a, 'v> {
    let (name, target) = match &operation.path {
        Some(path) => named(resource_type, path),
        // There is no attribute to report.
        None => ("Operations".to_owned(), None),
    };
    Wish { name, target, ask: Ask::Operation(operation) }
}

/// Splits the value of a path into one change for each part.
fn split<'a, 'v>(
    resource_type: &'a ResourceType,
    how: How,
    path: String,
    value: &'v Value,
    wishes: &mut Vec<Wish<'a, 'v>>,
) {
    if let Some((prefix, given)) = parts(resource_type, &path, value) {
        for (name, value) in given {
            split(resource_type, how, format!("{prefix}{name}"), value, wishes);
        }
        return;
    }
    let (name, target) = match lenient::path_of_key(&path) {
        Some(parsed) => named(resource_type, &parsed),
        None => (echo(&path), None),
    };
    wishes.push(Wish { name, target, ask: Ask::Key(how, path, value) });
}

/// The attributes of a schema or the parts of a complex attribute in a value, and the prefix of their names.
fn parts<'v>(
    resource_type: &ResourceType,
    path: &str,
    value: &'v Value,
) -> Option<(String, &'v Map<String, Value>)> {
    let Value::Object(given) = alone(value) else { return None };
    if given.is_empty() || !are_names(given) {
        return None;
    }
    match resource_type.resolve(path)? {
        Resolved::Schema(schema) => Some((format!("{}:", schema.id), given)),
        Resolved::Attribute(Target { attribute, sub: None, .. })
            if attribute.data_type == DataType::Complex
                && !attribute.multi_valued
                && attribute.is_writable()
                && !says_nothing(attribute, alone(value)) =>
        {
            Some((format!("{path}."), given))
        }
        Resolved::Attribute(_) => None,
    }
}

/// Whether the names are distinct. Otherwise the request is ambiguous.
fn are_names(given: &Map<String, Value>) -> bool {
    check_names(&"", given.keys()).is_ok()
}

/// The canonical name and the definition of the target of a path.
fn named<'a>(resource_type: &'a ResourceType, path: &Path) -> (String, Option<Target<'a>>) {
    match resource_type.resolve(path.attr.as_str()) {
        Some(Resolved::Attribute(target)) => {
            let sub = path.sub.as_ref().and_then(|sub| target.attribute.sub_attribute(sub.as_str()));
            let target = Target { sub: target.sub.or(sub), ..target };
            (target.to_string(), Some(target))
        }
        Some(Resolved::Schema(schema)) => (schema.id.to_string(), None),
        None => (path.shown(), None),
    }
}

//! One operation of a PATCH (RFC 7644 §3.5.2): parses it, checks it and applies it to a draft.

use serde_json::{Map, Value};

use crate::draft::{Draft, How, Names};
use crate::error::Error;
use crate::json::check_names;
use crate::schema::{Resolved, ResourceType};
use crate::syntax::lenient;
use crate::syntax::{MAX_LENGTH, Path};
use crate::value::alone;

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The operation.
    pub op: Op,
    /// The target; without a path, the keys of the value are the paths.
    pub path: Option<Path>,
    /// The value; absent and null are distinct.
    pub value: Option<Value>,
}

/// The operations of RFC 7644 §3.5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// §3.5.2.1
    Add,
    /// §3.5.2.2
    Remove,
    /// §3.5.2.3
    Replace,
}

impl Operation {
    /// Parses one operation of the message.
    pub(super) fn parse(operation: &Value) -> Result<Self, Error> {
        let Value::Object(members) = operation else {
            return Err(Error::invalid_syntax("an operation must be an object"));
        };
        check_names(&"Operations", members.keys())?;
        let op = match member(members, "op") {
            Some(Value::String(word)) => Op::from_word(word),
            _ => None,
        };
        let op = op.ok_or_else(|| Error::invalid_syntax("op must be add, remove or replace"))?;
        let path = match member(members, "path") {
            None | Some(Value::Null) => None,
            Some(Value::String(path)) => {
                lenient::path(path).map(|path| transportable(Path::parse(path)?)).transpose()?
            }
            Some(_) => return Err(Error::invalid_path("path must be a string")),
        };
        let value = member(members, "value");
        let value = if path.is_none() { value.map(alone) } else { value }.cloned();
        Ok(Self { op, path, value })
    }

    /// Checks that the operation has the path and the value that it requires.
    ///
    /// # Errors
    /// 400 `noTarget` for a remove without a path, `invalidValue` if the value is missing or, without a path, not an
    /// object.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match (self.op, &self.path, &self.value) {
            (Op::Remove, None, _) => Err(Error::no_target("a remove requires a path")),
            (Op::Add | Op::Replace, _, None) => {
                Err(Error::invalid_value("an add or replace requires a value"))
            }
            (Op::Add | Op::Replace, None, Some(value)) if !value.is_object() => {
                Err(Error::invalid_value("without a path, the value must be an object"))
            }
            _ => Ok(()),
        }
    }

    /// The assigning operation; `None` for a remove.
    pub(crate) fn how(&self) -> Option<How> {
        match self.op {
            Op::Add => Some(How::Add),
            Op::Replace => Some(How::Replace),
            Op::Remove => None,
        }
    }

    /// Removes values that are not stored.
    pub(super) fn forget_unkept(&mut self, resource_type: &ResourceType) {
        let place = match &self.path {
            None => String::new(),
            Some(path) => match resource_type.resolve(path.attr.as_str()) {
                Some(Resolved::Schema(schema)) => format!("{}:", schema.id),
                Some(Resolved::Attribute(target)) if target.attribute.stored => return,
                _ => {
                    // The name alone suffices to ignore or reject the operation.
                    self.path = Some(Path { attr: path.attr.clone(), filter: None, sub: None });
                    self.value = self.value.as_ref().map(|_| Value::Null);
                    return;
                }
            },
        };
        if let Some(value) = &mut self.value {
            forget_unkept(resource_type, &place, value);
        }
    }

    /// Applies the operation to the draft.
    ///
    /// # Errors
    /// As [`super::Patch::apply`].
    pub(crate) fn apply(&self, draft: &mut Draft<'_>) -> Result<(), Error> {
        self.check()?;
        match (self.how(), &self.path, &self.value) {
            (None, Some(path), listed) => draft.remove(path, listed.as_ref()),
            (Some(how), Some(path), Some(value)) => draft.assign(how, Names::Explicit, path, value),
            (Some(how), None, Some(Value::Object(members))) => draft.merge(how, members.iter()),
            // `check` has rejected these cases.
            _ => Ok(()),
        }
    }
}

impl Op {
    /// The operations with their names in the RFC.
    const ALL: [(Op, &'static str); 3] = [(Op::Add, "add"), (Op::Remove, "remove"), (Op::Replace, "replace")];

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| lenient::is_word(word, name)).map(|(op, _)| *op)
    }

    /// The name in the RFC.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Add => "add",
            Op::Remove => "remove",
            Op::Replace => "replace",
        }
    }
}

impl From<Operation> for Value {
    fn from(operation: Operation) -> Self {
        let mut members = Map::from_iter([("op".to_owned(), Value::from(operation.op.as_str()))]);
        if let Some(path) = operation.path {
            members.insert("path".to_owned(), Value::from(path.to_string()));
        }
        if let Some(value) = operation.value {
            members.insert("value".to_owned(), value);
        }
        Value::Object(members)
    }
}

/// Removes the keys of a larger value that name unknown attributes or attributes that are not stored. Each key is a
/// path relative to `place`.
fn forget_unkept(resource_type: &ResourceType, place: &str, value: &mut Value) {
    let members = match value {
        Value::Object(members) => members,
        Value::Array(elements) => {
            for element in elements {
                forget_unkept(resource_type, place, element);
            }
            return;
        }
        _ => return,
    };
    members.retain(|name, value| {
        let attribute = name.split('[').next().unwrap_or_default();
        match resource_type.resolve(&format!("{place}{attribute}")) {
            None => false,
            Some(Resolved::Attribute(target)) => target.attribute.stored,
            Some(Resolved::Schema(schema)) => {
                forget_unkept(resource_type, &format!("{}:", schema.id), value);
                true
            }
        }
    });
}

/// Rejects a path whose printed form is too long. The worker parses the printed form, which may be longer than the
/// text.
fn transportable(path: Path) -> Result<Path, Error> {
    match path.to_string().len() {
        length if length > MAX_LENGTH => Err(Error::invalid_path(format!(
            "the path has {length} bytes, more than the {MAX_LENGTH} allowed"
        ))),
        _ => Ok(path),
    }
}

/// The member with this name, case-insensitive.
pub(super) fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

//! PATCH (RFC 7644 §3.5.2): a request as sent, and its application to a resource.
//!
//! Application is pure, atomic and in sequence; `patch/operation.rs` has a single operation, and `draft` implements the
//! changes. A patch is serialized in the command that ingest sends to the worker.

mod operation;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::operation::member;
pub use self::operation::{Op, Operation};
use super::applied::Applied;
use super::draft::{Draft, missing};
use super::error::Error;
use super::json::{check_names, is_empty};
use super::known::listed;
use super::resource::{Resource, require_urn};
use super::schema::{Resolved, ResourceType, Target, USER_URN};
use super::syntax::lenient::path_of_key;
use super::syntax::{Filter, Path};
use super::value::alone;

/// The URN of the PATCH message (RFC 7644 §3.5.2).
pub const PATCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// The maximum number of operations in one request.
pub const MAX_OPERATIONS: usize = 1000;
/// The maximum number of comparisons in the paths of one request. All tenants share the worker.
pub const MAX_TERMS: usize = 2000;

/// A structurally valid PATCH request. `apply` checks whether it fits the resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub struct Patch {
    operations: Vec<Operation>,
}

impl Patch {
    /// The attributes that the patch targets, by their names in the schemas, without values and value filters. What no
    /// schema defines is counted, not named: the client's text may be anything.
    #[must_use]
    pub fn attributes(&self, resource_type: &ResourceType) -> Vec<String> {
        let targets =
            self.operations.iter().flat_map(|operation| match (&operation.path, &operation.value) {
                (Some(path), _) => vec![path.target(resource_type)],
                (None, Some(Value::Object(value))) => {
                    value.keys().map(|key| path_of_key(key)?.target(resource_type)).collect()
                }
                (None, _) => Vec::new(),
            });
        listed(targets)
    }

    /// The userName that the patch sets, if any.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        let is_name = |attr: &str| {
            let urn = attr.get(..USER_URN.len()).filter(|urn| urn.eq_ignore_ascii_case(USER_URN));
            urn.map_or(attr, |urn| attr[urn.len()..].trim_start_matches([':', '.']))
                .eq_ignore_ascii_case("userName")
        };
        fn text(value: &Value) -> Option<&str> {
            alone(value).as_str()
        }
        self.operations.iter().rev().find_map(|operation| match (&operation.path, &operation.value) {
            (Some(Path { attr, sub: None, .. }), Some(value)) if is_name(&attr.to_string()) => text(value),
            (None, Some(Value::Object(value))) => {
                value.iter().find(|(attr, _)| is_name(attr)).and_then(|(_, value)| text(value))
            }
            _ => None,
        })
    }

    /// Parses the body of a PATCH. Member names and operations are case-insensitive.
    ///
    /// # Errors
    /// 400 `invalidSyntax` for a wrong structure, `invalidPath` and `invalidFilter` for a malformed path; 413 for too
    /// many operations or comparisons. [`Patch::apply`] rejects an operation without the required path or value.
    pub fn parse(body: &Value) -> Result<Self, Error> {
        operations(body).map(Self::of)
    }

    /// A patch of parsed operations.
    pub(super) fn of(operations: Vec<Operation>) -> Self {
        Self { operations }
    }

    /// Removes values that are not stored (passwords, roles, unknown attributes), so that they do not reach the queue,
    /// which writes its messages to disk.
    #[must_use]
    pub fn without_unkept(mut self, resource_type: &ResourceType) -> Self {
        self.operations.iter_mut().for_each(|operation| operation.forget_unkept(resource_type));
        self
    }

    /// The operations, in the order in which they were sent.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether each operation has the path and the value that it requires.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.operations.iter().all(|operation| operation.check().is_ok())
    }

    /// Applies all operations in sequence, or none (RFC 7644 §3.5.2), without the leaver rule (`leaver::patched`).
    ///
    /// # Errors
    /// As `leaver::patched`.
    pub fn apply(&self, resource_type: &ResourceType, current: &Resource) -> Result<Resource, Error> {
        self.apply_strictly(resource_type, current).map(|applied| applied.resource)
    }

    pub(super) fn apply_strictly(
        &self,
        resource_type: &ResourceType,
        current: &Resource,
    ) -> Result<Applied, Error> {
        let mut draft = Draft::new(resource_type, current.members().clone());
        for operation in &self.operations {
            operation.apply(&mut draft)?;
        }
        let ignored = draft.take_ignored();
        let members = draft.finish()?;
        let lacking = missing(resource_type, &members);
        match lacking.filter(|_| missing(resource_type, current.members()).is_none()) {
            None => {
                let resource = Resource::from_members(members);
                resource.check_immutable(resource_type, current)?;
                Ok(Applied::of(resource, ignored))
            }
            Some(missing) if self.removes(resource_type, &missing.attribute) => {
                Err(Error::mutability(format!("{} is required and cannot be removed", missing.path)))
            }
            Some(missing) => Err(Error::invalid_value(format!("{} is required", missing.path))),
        }
    }

    /// Whether one of the operations removes the attribute or a part of it.
    fn removes(&self, resource_type: &ResourceType, attribute: &str) -> bool {
        let removed = self.operations.iter().filter(|operation| operation.op == Op::Remove);
        removed.filter_map(|operation| operation.path.as_ref()).any(|path| {
            match resource_type.resolve(path.attr.as_str()) {
                Some(Resolved::Attribute(target)) => Target { sub: None, ..target }.to_string() == attribute,
                _ => false,
            }
        })
    }
}

/// The operations of the message (RFC 7644 §3.5.2).
///
/// # Errors
/// As [`Patch::parse`].
pub(super) fn operations(body: &Value) -> Result<Vec<Operation>, Error> {
    let Value::Object(members) = body else {
        return Err(Error::invalid_syntax("the body must be a JSON object"));
    };
    check_names(&"", members.keys())?;
    if let Some(schemas) = member(members, "schemas").filter(|schemas| !is_empty(schemas)) {
        require_urn(PATCH_URN, schemas)?;
    }
    let operations = match member(members, "Operations") {
        Some(Value::Array(operations)) if !operations.is_empty() => operations,
        _ => return Err(Error::invalid_syntax("Operations must be a list with at least one operation")),
    };
    if operations.len() > MAX_OPERATIONS {
        let detail =
            format!("Operations has {} operations; at most {MAX_OPERATIONS} are allowed", operations.len());
        return Err(Error::payload_too_large(detail));
    }
    let operations = operations.iter().map(Operation::parse).collect::<Result<Vec<_>, _>>()?;
    let filters = operations.iter().filter_map(|operation| operation.path.as_ref()?.filter.as_ref());
    let terms: usize = filters.map(Filter::terms).sum();
    if terms > MAX_TERMS {
        let detail = format!("the paths have {terms} comparisons; at most {MAX_TERMS} are allowed");
        return Err(Error::payload_too_large(detail));
    }
    Ok(operations)
}

/// The message in its original form.
impl From<Patch> for Value {
    fn from(patch: Patch) -> Self {
        let operations: Vec<Value> = patch.operations.into_iter().map(Value::from).collect();
        json!({ "schemas": [PATCH_URN], "Operations": operations })
    }
}

impl TryFrom<Value> for Patch {
    type Error = Error;

    fn try_from(body: Value) -> Result<Self, Error> {
        Self::parse(&body)
    }
}

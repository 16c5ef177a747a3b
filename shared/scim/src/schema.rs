//! Attribute definitions as data (RFC 7643 §2.2, §7). Validation, filters, PATCH, projection and `/Schemas` all use
//! them.
//!
//! This file defines schemas and resource types, and `schema/attribute.rs` attributes; `schema/user.rs` and its
//! siblings contain the definitions.

mod attribute;
mod common;
mod describe;
mod enterprise;
mod group;
mod register;
mod resolve;
mod types;
mod user;

use std::borrow::Cow;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::error::Error;
use super::json::is_empty;

pub use super::urn::{ENTERPRISE_URN, GROUP_URN, USER_URN};
pub use attribute::{Attribute, DataType, Mutability, Returned, Uniqueness};
pub use register::{MAX_ATTRIBUTES, MAX_NAME_LENGTH, MAX_URN_LENGTH};
pub use resolve::{Resolved, Target};
pub use types::{MAX_EXTENSIONS, Types};

/// A text in a schema: borrowed for built-in schemas, owned for registered ones.
pub type Text = Cow<'static, str>;

/// The maximum length of a string in characters, unless the attribute defines another.
pub const MAX_LENGTH: usize = 4096;
/// The maximum length of a certificate or an inline photo in characters.
pub const MAX_LENGTH_BINARY: usize = 65_536;
/// The maximum number of values of a multi-valued attribute.
pub const MAX_VALUES: usize = 250;
/// The maximum size of the text in a resource in bytes: enough for a few certificates and all other attributes of a
/// user.
pub const MAX_RESOURCE_SIZE: usize = 512 * 1024;

/// A schema (RFC 7643 §7): a URN and its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The URN.
    pub id: Text,
    /// A human-readable name.
    pub name: Text,
    /// A human-readable description.
    pub description: Text,
    /// The attributes, in the order in which they are shown.
    pub attributes: Vec<Attribute>,
}

/// A resource type (RFC 7643 §6): a core schema, the common attributes (§3.1) and extensions.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceType {
    /// Its identifier, which is also `meta.resourceType`.
    pub name: Text,
    /// A human-readable description.
    pub description: Text,
    /// The endpoint relative to the base URL, with a leading slash.
    pub endpoint: Text,
    /// The core schema.
    pub schema: Schema,
    /// `schemas`, `id`, `externalId`, `meta`: part of every resource, but defined in no schema.
    pub common: Vec<Attribute>,
    /// The extensions, all optional.
    pub extensions: Vec<Schema>,
}

static USER: LazyLock<ResourceType> = LazyLock::new(|| ResourceType {
    name: "User".into(),
    description: "A user account".into(),
    endpoint: "/Users".into(),
    schema: user::schema(),
    common: common::attributes(),
    extensions: vec![enterprise::schema()],
});

static GROUP: LazyLock<ResourceType> = LazyLock::new(|| ResourceType {
    name: "Group".into(),
    description: "A group of users".into(),
    endpoint: "/Groups".into(),
    schema: group::schema(),
    common: common::attributes(),
    extensions: Vec::new(),
});

impl ResourceType {
    /// The User (RFC 7643 §4.1) with the enterprise extension (§4.3).
    pub fn user() -> &'static ResourceType {
        &USER
    }

    /// The Group (RFC 7643 §4.2).
    pub fn group() -> &'static ResourceType {
        &GROUP
    }

    /// The core schema and the extensions.
    pub fn schemas(&self) -> impl Iterator<Item = &Schema> {
        std::iter::once(&self.schema).chain(&self.extensions)
    }

    /// Whether this is the core schema or one of the extensions.
    pub fn has_schema(&self, urn: &str) -> bool {
        self.schemas().any(|schema| schema.id == urn)
    }

    /// The URNs that a resource with these members has in `schemas` (RFC 7643 §3): the core schema, and the extensions
    /// for which it has values.
    pub fn used_schemas(&self, members: &Map<String, Value>) -> Vec<Value> {
        let is_used = |schema: &&Schema| members.get(&*schema.id).is_some_and(|values| !is_empty(values));
        let extensions = self.extensions.iter().filter(is_used);
        std::iter::once(&self.schema).chain(extensions).map(|schema| Value::from(&*schema.id)).collect()
    }

    /// The common and the core attributes.
    pub fn core_attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.common.iter().chain(&self.schema.attributes)
    }

    /// Resolves `attr`, `attr.sub`, `URN:attr`, `URN.attr`, `URN:attr.sub` and the bare URN, case-insensitively (RFC
    /// 7643 §2.1, RFC 7644 §3.10); otherwise tolerated forms: a draft's URN, and an extension's attribute without its
    /// URN. `None` for an unknown attribute.
    pub fn resolve(&self, path: &str) -> Option<Resolved<'_>> {
        resolve::exact(self, path).or_else(|| resolve::tolerated(self, path))
    }

    /// Whether the path has the form of RFC 7644 §3.10. Such a path overrides a tolerated form of the same attribute.
    pub(super) fn is_exact(&self, path: &str) -> bool {
        resolve::exact(self, path).is_some()
    }
}

impl Schema {
    /// Parses the definition of an extension schema in the form of `/Schemas`. Omitted characteristics have the
    /// defaults of RFC 7643 §2.2.
    ///
    /// # Errors
    /// 400 `invalidValue`, naming the field: for a malformed definition, for a URN that SCIM reserves, and for
    /// characteristics that contradict each other or are not enforced (`uniqueness`).
    pub fn parse(definition: &Value) -> Result<Self, Error> {
        register::parse(definition)
    }

    /// The definition in the form that [`Schema::parse`] reads.
    pub fn definition(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.describe(),
        })
    }

    /// The attributes in the form of `/Schemas`.
    pub(super) fn describe(&self) -> Value {
        describe::attributes(&self.attributes)
    }

    /// Checks whether this definition can replace an old one under which resources are stored. Attributes may be added,
    /// but characteristics that determine what is stored or how it is compared may not change.
    ///
    /// # Errors
    /// 400 `invalidValue`, naming the attribute.
    pub fn can_replace(&self, old: &Schema) -> Result<(), Error> {
        register::can_replace(self, old)
    }

    /// The attribute with this name, case-insensitive (RFC 7643 §2.1).
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }
}

/// Attribute names are case-insensitive (RFC 7643 §2.1).
fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

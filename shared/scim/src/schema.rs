//! Attribute definitions as data (RFC 7643 §2.2, §7). Validation, filters, PATCH, projection and `/Schemas` all use
//! them.
//!
//! This file defines the types; `schema/user.rs` and its siblings contain the definitions, which `schema/build.rs` helps
//! to write.

mod build;
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

use serde_json::{Map, Value};

use super::json::is_empty;

pub use super::urn::{ENTERPRISE_URN, GROUP_URN, USER_URN};
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

/// An attribute's data type (RFC 7643 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// §2.3.1
    String,
    /// §2.3.2
    Boolean,
    /// §2.3.3
    Decimal,
    /// §2.3.4
    Integer,
    /// §2.3.5
    DateTime,
    /// §2.3.6
    Binary,
    /// §2.3.7
    Reference,
    /// §2.3.8
    Complex,
}

/// When an attribute may be written (RFC 7643 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// Never by a client.
    ReadOnly,
    /// At any time.
    ReadWrite,
    /// Once.
    Immutable,
    /// At any time, and never read.
    WriteOnly,
}

/// When an attribute is returned (RFC 7643 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Always, whatever the projection.
    Always,
    /// Never.
    Never,
    /// Unless it is excluded.
    Default,
    /// Only if it is requested.
    Request,
}

/// How unique a value is (RFC 7643 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uniqueness {
    /// Not at all.
    None,
    /// Within the tenant.
    Server,
    /// Everywhere.
    Global,
}

/// The definition of an attribute: its characteristics (RFC 7643 §2.2, §7).
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The name in its canonical case.
    pub name: Text,
    /// The `type`.
    pub data_type: DataType,
    /// Whether it is multi-valued.
    pub multi_valued: bool,
    /// Whether a resource must have it. Stricter than RFC 7643 for names and emails, which the service depends on.
    pub required: bool,
    /// Whether values are compared case-sensitively.
    pub case_exact: bool,
    /// When it may be written.
    pub mutability: Mutability,
    /// When it is returned.
    pub returned: Returned,
    /// How unique it is.
    pub uniqueness: Uniqueness,
    /// A human-readable description.
    pub description: Text,
    /// Suggested values; others are accepted (§2.3.1 leaves the choice).
    pub canonical_values: Vec<Text>,
    /// The types of resources that a reference may point to.
    pub reference_types: Vec<Text>,
    /// The sub-attributes of a complex attribute.
    pub sub_attributes: Vec<Attribute>,
    /// Rollcall's own: the maximum length of a string in characters.
    pub max_length: usize,
    /// Rollcall's own: the maximum number of values of a list.
    pub max_values: usize,
    /// Rollcall's own: whether it is stored. Otherwise it is accepted, ignored and absent from `/Schemas`.
    pub stored: bool,
    /// Rollcall's own: the value while it is unassigned; such an attribute cannot be cleared.
    pub default: Option<Value>,
}

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
}

impl Schema {
    /// The attribute with this name, case-insensitive (RFC 7643 §2.1).
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }
}

impl Attribute {
    /// The sub-attribute with this name, case-insensitive.
    pub fn sub_attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.sub_attributes, name)
    }

    /// Whether it is a list of simple values.
    pub fn is_plain_list(&self) -> bool {
        self.multi_valued && self.data_type != DataType::Complex
    }

    /// Whether a sub-attribute's name refers to the simple values of a list themselves. Values of complex lists have a
    /// `value` (RFC 7643 §2.4), and Entra ID uses the name for simple lists too.
    pub fn is_own_value(&self, name: &str) -> bool {
        self.is_plain_list() && name.eq_ignore_ascii_case("value")
    }

    /// Whether clients may filter and sort by it. Filters on an attribute that is never returned would reveal its
    /// values.
    pub fn is_filterable(&self) -> bool {
        self.stored && self.returned != Returned::Never
    }

    /// Whether clients may write it and it is stored.
    pub fn is_writable(&self) -> bool {
        self.stored && self.mutability != Mutability::ReadOnly
    }
}

/// Attribute names are case-insensitive (RFC 7643 §2.1).
fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

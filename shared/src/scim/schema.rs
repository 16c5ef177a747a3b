//! Attribute characteristics as data (RFC 7643 §2.2, §7): the one table that validation, filters, PATCH,
//! projection and `/Schemas` read.
//!
//! The words stand here; what a User is made of stands in `schema/user.rs` and its neighbours. After it comes
//! everything that knows a resource type: `Resource`, `Patch`, `Filter`, `discovery`.

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

use super::value::is_empty;

pub use register::{MAX_ATTRIBUTES, MAX_NAME_LENGTH, MAX_URN_LENGTH};
pub use resolve::{Resolved, Target};
pub use types::{MAX_EXTENSIONS, Types};

/// A text of the table: borrowed for the schemas that are compiled in, owned for registered ones.
pub type Text = Cow<'static, str>;

/// The URN of the core User schema (RFC 7643 §4.1).
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The URN of the core Group schema (RFC 7643 §4.2).
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The URN of the enterprise extension (RFC 7643 §4.3).
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// The most characters in a string, unless the table says otherwise.
pub const MAX_LENGTH: usize = 4096;
/// The most characters in a certificate or an inline photo.
pub const MAX_LENGTH_BINARY: usize = 65_536;
/// The most values of a multi-valued attribute.
pub const MAX_VALUES: usize = 250;
/// The most bytes of text in a whole resource: a few certificates and all that a person has besides.
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
    /// Whatever the projection.
    Always,
    /// Under no circumstances.
    Never,
    /// Unless it is excluded.
    Default,
    /// Only if it is asked for.
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

/// One row of the table: an attribute and its characteristics (RFC 7643 §2.2, §7).
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The name in its canonical case.
    pub name: Text,
    /// The `type`.
    pub data_type: DataType,
    /// Whether it holds a list.
    pub multi_valued: bool,
    /// Whether a resource must have it. Stricter than RFC 7643 for names and emails, which the roster rests on.
    pub required: bool,
    /// Whether case matters when values are compared.
    pub case_exact: bool,
    /// When it may be written.
    pub mutability: Mutability,
    /// When it is returned.
    pub returned: Returned,
    /// How unique it is.
    pub uniqueness: Uniqueness,
    /// A sentence for people.
    pub description: Text,
    /// Suggested values; others are accepted (§2.3.1 leaves the choice).
    pub canonical_values: Vec<Text>,
    /// What a reference may point to.
    pub reference_types: Vec<Text>,
    /// The parts of a complex attribute.
    pub sub_attributes: Vec<Attribute>,
    /// Our own: the most characters of a string.
    pub max_length: usize,
    /// Our own: the most values of a list.
    pub max_values: usize,
    /// Our own: whether we keep it. What is not kept is accepted, ignored and not offered.
    pub stored: bool,
    /// Our own: what it is while nobody has said; such an attribute cannot be cleared.
    pub default: Option<Value>,
}

/// A schema (RFC 7643 §7): a URN and its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The URN.
    pub id: Text,
    /// Its name for people.
    pub name: Text,
    /// A sentence for people.
    pub description: Text,
    /// The attributes, in the order in which they are shown.
    pub attributes: Vec<Attribute>,
}

/// A resource type (RFC 7643 §6): a core schema, the common attributes (§3.1) and extensions.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceType {
    /// Its identifier, which is also `meta.resourceType`.
    pub name: Text,
    /// A sentence for people.
    pub description: Text,
    /// The endpoint relative to the base URL, with its slash.
    pub endpoint: Text,
    /// The core schema.
    pub schema: Schema,
    /// `schemas`, `id`, `externalId`, `meta`: part of every resource and of no schema.
    pub common: Vec<Attribute>,
    /// The extensions, none of which is required.
    pub extensions: Vec<Schema>,
}

static USER: LazyLock<ResourceType> = LazyLock::new(|| ResourceType {
    name: "User".into(),
    description: "A person on the roster".into(),
    endpoint: "/Users".into(),
    schema: user::schema(),
    common: common::attributes(),
    extensions: vec![enterprise::schema()],
});

static GROUP: LazyLock<ResourceType> = LazyLock::new(|| ResourceType {
    name: "Group".into(),
    description: "A group of people".into(),
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

    /// The URNs that a resource with these members shows in `schemas` (RFC 7643 §3): the core one, and those of the
    /// extensions under which it has values.
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
    /// The attribute of that name, whatever its case (RFC 7643 §2.1).
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.attributes, name)
    }
}

impl Attribute {
    /// The sub-attribute of that name, whatever its case.
    pub fn sub_attribute(&self, name: &str) -> Option<&Attribute> {
        find(&self.sub_attributes, name)
    }

    /// Whether it is a list whose values have no parts.
    pub fn is_plain_list(&self) -> bool {
        self.multi_valued && self.data_type != DataType::Complex
    }

    /// Whether a sub-attribute's name means the values of a plain list themselves: those of other lists have a `value` (RFC
    /// 7643 §2.4), and Entra ID writes them alike.
    pub(crate) fn is_own_value(&self, name: &str) -> bool {
        self.is_plain_list() && name.eq_ignore_ascii_case("value")
    }

    /// Whether one may filter and sort by it: what nobody may read nobody may find out by asking.
    pub fn is_filterable(&self) -> bool {
        self.stored && self.returned != Returned::Never
    }

    /// Whether clients may write it and we keep it.
    pub fn is_writable(&self) -> bool {
        self.stored && self.mutability != Mutability::ReadOnly
    }

    fn new(name: &'static str, data_type: DataType, description: &'static str) -> Self {
        Self {
            name: name.into(),
            data_type,
            multi_valued: false,
            required: false,
            case_exact: matches!(data_type, DataType::Reference | DataType::Binary),
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            description: description.into(),
            canonical_values: Vec::new(),
            reference_types: Vec::new(),
            sub_attributes: Vec::new(),
            max_length: MAX_LENGTH,
            max_values: MAX_VALUES,
            stored: true,
            default: None,
        }
    }

    fn string(name: &'static str, description: &'static str) -> Self {
        Self::new(name, DataType::String, description)
    }

    fn reference(name: &'static str, types: &[&'static str], description: &'static str) -> Self {
        let reference_types = types.iter().map(|&name| name.into()).collect();
        Self { reference_types, ..Self::new(name, DataType::Reference, description) }
    }

    fn complex(name: &'static str, description: &'static str, sub_attributes: Vec<Attribute>) -> Self {
        Self { sub_attributes, ..Self::new(name, DataType::Complex, description) }
    }

    /// A multi-valued attribute with the sub-attributes of RFC 7643 §2.4 around its `value`.
    fn plural(
        name: &'static str,
        description: &'static str,
        value: Attribute,
        types: &[&'static str],
    ) -> Self {
        let sub_attributes = vec![
            value,
            Self::string("display", "A name for people to read"),
            Self::string("type", "What the value is for").canonical(types),
            Self::new("primary", DataType::Boolean, "Whether this is the preferred value; true at most once"),
        ];
        Self::complex(name, description, sub_attributes).multi_valued()
    }

    fn multi_valued(self) -> Self {
        Self { multi_valued: true, ..self }
    }

    fn required(self) -> Self {
        Self { required: true, ..self }
    }

    fn case_exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }

    fn not_stored(self) -> Self {
        Self { stored: false, ..self }
    }

    fn returned(self, returned: Returned) -> Self {
        Self { returned, ..self }
    }

    fn unique(self) -> Self {
        Self { uniqueness: Uniqueness::Server, ..self }
    }

    fn max_length(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    fn default_to(self, value: impl Into<Value>) -> Self {
        Self { default: Some(value.into()), ..self }
    }

    fn canonical(self, values: &[&'static str]) -> Self {
        Self { canonical_values: values.iter().map(|&value| value.into()).collect(), ..self }
    }
}

/// Attribute names are case-insensitive (RFC 7643 §2.1).
fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

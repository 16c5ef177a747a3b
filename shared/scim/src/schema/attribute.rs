//! The definition of an attribute: its characteristics (RFC 7643 §2.2, §7), and the functions that build the
//! definitions of the built-in schemas.

use serde_json::Value;

use super::{MAX_LENGTH, MAX_VALUES, Text, find};

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

impl Attribute {
    pub(super) fn new(name: &'static str, data_type: DataType, description: &'static str) -> Self {
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

    pub(super) fn string(name: &'static str, description: &'static str) -> Self {
        Self::new(name, DataType::String, description)
    }

    pub(super) fn reference(name: &'static str, types: &[&'static str], description: &'static str) -> Self {
        let reference_types = types.iter().map(|&name| name.into()).collect();
        Self { reference_types, ..Self::new(name, DataType::Reference, description) }
    }

    pub(super) fn complex(
        name: &'static str,
        description: &'static str,
        sub_attributes: Vec<Attribute>,
    ) -> Self {
        Self { sub_attributes, ..Self::new(name, DataType::Complex, description) }
    }

    /// A multi-valued attribute with the sub-attributes of RFC 7643 §2.4 around its `value`.
    pub(super) fn plural(
        name: &'static str,
        description: &'static str,
        value: Attribute,
        types: &[&'static str],
    ) -> Self {
        let sub_attributes = vec![
            value,
            Self::string("display", "A human-readable name"),
            Self::string("type", "The purpose of the value").canonical(types),
            Self::new("primary", DataType::Boolean, "Whether this is the preferred value; true at most once"),
        ];
        Self::complex(name, description, sub_attributes).multi_valued()
    }

    pub(super) fn multi_valued(self) -> Self {
        Self { multi_valued: true, ..self }
    }

    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(super) fn case_exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    pub(super) fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    pub(super) fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }

    pub(super) fn not_stored(self) -> Self {
        Self { stored: false, ..self }
    }

    pub(super) fn returned(self, returned: Returned) -> Self {
        Self { returned, ..self }
    }

    pub(super) fn unique(self) -> Self {
        Self { uniqueness: Uniqueness::Server, ..self }
    }

    pub(super) fn max_length(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    pub(super) fn default_to(self, value: impl Into<Value>) -> Self {
        Self { default: Some(value.into()), ..self }
    }

    pub(super) fn canonical(self, values: &[&'static str]) -> Self {
        Self { canonical_values: values.iter().map(|&value| value.into()).collect(), ..self }
    }

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

//! The `/Schemas` form of the definitions (RFC 7643 §7). Attributes that are not stored are omitted.

use serde_json::{Map, Value, json};

use super::{Attribute, DataType, Mutability, Returned, Uniqueness};

/// The attributes in the form of `/Schemas`.
pub(super) fn attributes(attributes: &[Attribute]) -> Value {
    attributes.iter().filter(|attribute| attribute.stored).map(attribute).collect()
}

fn attribute(attribute: &Attribute) -> Value {
    let mut row = Map::from_iter([
        ("name".to_owned(), json!(attribute.name)),
        ("type".to_owned(), json!(attribute.data_type.as_str())),
        ("multiValued".to_owned(), json!(attribute.multi_valued)),
        ("description".to_owned(), json!(attribute.description)),
        // An attribute with a default is not required in requests, although it cannot be removed.
        ("required".to_owned(), json!(attribute.required)),
        ("caseExact".to_owned(), json!(attribute.case_exact)),
        ("mutability".to_owned(), json!(attribute.mutability.as_str())),
        ("returned".to_owned(), json!(attribute.returned.as_str())),
        ("uniqueness".to_owned(), json!(attribute.uniqueness.as_str())),
    ]);
    if !attribute.canonical_values.is_empty() {
        row.insert("canonicalValues".to_owned(), json!(attribute.canonical_values));
    }
    if !attribute.reference_types.is_empty() {
        row.insert("referenceTypes".to_owned(), json!(attribute.reference_types));
    }
    if attribute.data_type == DataType::Complex {
        row.insert("subAttributes".to_owned(), attributes(&attribute.sub_attributes));
    }
    Value::Object(row)
}

impl DataType {
    /// All types.
    pub const ALL: [DataType; 8] = [
        DataType::String,
        DataType::Boolean,
        DataType::Decimal,
        DataType::Integer,
        DataType::DateTime,
        DataType::Binary,
        DataType::Reference,
        DataType::Complex,
    ];

    /// The name in the RFC.
    pub fn as_str(self) -> &'static str {
        match self {
            DataType::String => "string",
            DataType::Boolean => "boolean",
            DataType::Decimal => "decimal",
            DataType::Integer => "integer",
            DataType::DateTime => "dateTime",
            DataType::Binary => "binary",
            DataType::Reference => "reference",
            DataType::Complex => "complex",
        }
    }
}

impl Mutability {
    /// All values.
    pub const ALL: [Mutability; 4] =
        [Mutability::ReadOnly, Mutability::ReadWrite, Mutability::Immutable, Mutability::WriteOnly];

    /// The name in the RFC.
    pub fn as_str(self) -> &'static str {
        match self {
            Mutability::ReadOnly => "readOnly",
            Mutability::ReadWrite => "readWrite",
            Mutability::Immutable => "immutable",
            Mutability::WriteOnly => "writeOnly",
        }
    }
}

impl Returned {
    /// All values.
    pub const ALL: [Returned; 4] = [Returned::Always, Returned::Never, Returned::Default, Returned::Request];

    /// The name in the RFC.
    pub fn as_str(self) -> &'static str {
        match self {
            Returned::Always => "always",
            Returned::Never => "never",
            Returned::Default => "default",
            Returned::Request => "request",
        }
    }
}

impl Uniqueness {
    /// All values.
    pub const ALL: [Uniqueness; 3] = [Uniqueness::None, Uniqueness::Server, Uniqueness::Global];

    /// The name in the RFC.
    pub fn as_str(self) -> &'static str {
        match self {
            Uniqueness::None => "none",
            Uniqueness::Server => "server",
            Uniqueness::Global => "global",
        }
    }
}

//! Builds the definitions of the attributes of the built-in schemas.

use serde_json::Value;

use super::{Attribute, DataType, MAX_LENGTH, MAX_VALUES, Mutability, Returned, Uniqueness};

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
}

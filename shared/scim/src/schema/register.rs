//! Extension schemas that a tenant registers (RFC 7643 §3.3, §7), parsed from the JSON form of `/Schemas`.
//!
//! Characteristics that the service would not enforce are rejected with an error that names the field, so that
//! `/Schemas` describes only what holds.

mod fields;

use serde_json::Value;

use self::fields::Fields;
use super::{Attribute, DataType, MAX_LENGTH, MAX_LENGTH_BINARY, MAX_VALUES};
use super::{Mutability, Returned, Schema, Text, Uniqueness};
use crate::error::Error;

/// The maximum number of attributes of a registered schema, and of sub-attributes of one of them.
pub const MAX_ATTRIBUTES: usize = 100;
/// The maximum length of a registered attribute's name in characters.
pub const MAX_NAME_LENGTH: usize = 64;
/// The maximum length of a registered URN in characters.
pub const MAX_URN_LENGTH: usize = 255;
/// The maximum length of a description in characters, and the maximum number of canonical values or reference types.
const MAX_DESCRIPTION: usize = 1000;
const MAX_CANONICAL: usize = 100;

const SCHEMA_FIELDS: [&str; 6] = ["schemas", "id", "name", "description", "attributes", "meta"];
const ATTRIBUTE_FIELDS: [&str; 12] = [
    "name",
    "type",
    "multiValued",
    "description",
    "required",
    "caseExact",
    "mutability",
    "returned",
    "uniqueness",
    "canonicalValues",
    "referenceTypes",
    "subAttributes",
];

/// Parses the definition of a schema.
pub(super) fn parse(definition: &Value) -> Result<Schema, Error> {
    let fields = Fields::of(definition, "", &SCHEMA_FIELDS)?;
    let id = urn(fields.text("id", MAX_URN_LENGTH)?.unwrap_or_default())?;
    let name = fields.text("name", MAX_DESCRIPTION)?.map(str::to_owned);
    let name = name.unwrap_or_else(|| id.rsplit(':').next().unwrap_or_default().to_owned());
    let description = fields.text("description", MAX_DESCRIPTION)?.unwrap_or_default().to_owned();
    let attributes = attributes(&fields, "attributes", false)?;
    if attributes.is_empty() {
        return Err(fields.wrong("attributes", "must list at least one attribute"));
    }
    Ok(Schema { id: id.to_owned().into(), name: name.into(), description: description.into(), attributes })
}

/// Checks whether a definition can replace the old one.
pub(super) fn can_replace(new: &Schema, old: &Schema) -> Result<(), Error> {
    if new.id != old.id {
        return Err(Error::invalid_value(
            "id cannot change; use the URN under which the schema is registered",
        ));
    }
    can_replace_attributes("", &new.attributes, &old.attributes)
}

fn can_replace_attributes(parent: &str, new: &[Attribute], old: &[Attribute]) -> Result<(), Error> {
    for before in old {
        let path = format!("{parent}{}", before.name);
        let refused = |what: &str| Err(Error::invalid_value(format!("{path} {what}")));
        let Some(after) = new.iter().find(|after| after.name == before.name) else {
            return refused("is in use; it cannot be removed, nor the case of its name changed");
        };
        let changed = [
            ("type", after.data_type != before.data_type),
            ("multiValued", after.multi_valued != before.multi_valued),
            ("caseExact", after.case_exact != before.case_exact),
            ("required", after.required && !before.required),
            ("returned", after.is_filterable() != before.is_filterable()),
        ];
        if let Some((characteristic, _)) = changed.into_iter().find(|(_, is_changed)| *is_changed) {
            return refused(&format!("is in use; its {characteristic} cannot change"));
        }
        can_replace_attributes(&format!("{path}."), &after.sub_attributes, &before.sub_attributes)?;
    }
    let is_new = |after: &&Attribute| !old.iter().any(|before| before.name == after.name);
    match new.iter().filter(is_new).find(|after| after.required) {
        None => Ok(()),
        Some(after) => Err(Error::invalid_value(format!(
            "{parent}{} is new and cannot be required: existing resources do not have it",
            after.name
        ))),
    }
}

/// Checks for a URN (RFC 8141 §2) that can precede an attribute's name in a path.
fn urn(text: &str) -> Result<&str, Error> {
    let refused = |what: &str| Err(Error::invalid_value(format!("id {what}")));
    let lower = text.to_ascii_lowercase();
    let is_part =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '%' | '+' | '~');
    let parts: Vec<&str> = lower.split(':').collect();
    if parts.len() < 3 || parts[0] != "urn" || parts.iter().any(|part| part.is_empty()) {
        return refused("must be a URN, such as urn:example:params:scim:schemas:extension:acme:2.0:User");
    }
    if !text.chars().all(is_part) || !text.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return refused(
            "must be a URN of letters, digits and - _ . / % + ~ that ends with a letter or digit",
        );
    }
    if lower.starts_with("urn:ietf:params:scim:schemas:core:")
        || lower.starts_with("urn:ietf:params:scim:api:")
    {
        return refused("is reserved by SCIM and cannot be registered");
    }
    Ok(text)
}

fn attributes(parent: &Fields<'_>, name: &str, are_sub: bool) -> Result<Vec<Attribute>, Error> {
    let rows = parent.list(name, MAX_ATTRIBUTES)?;
    let mut attributes: Vec<Attribute> = Vec::with_capacity(rows.len());
    for (position, row) in rows.iter().enumerate() {
        let fields = Fields::of(row, &parent.place(&format!("{name}[{position}]")), &ATTRIBUTE_FIELDS)?;
        let attribute = attribute(&fields, are_sub)?;
        if attributes.iter().any(|other| other.name.eq_ignore_ascii_case(&attribute.name)) {
            return Err(fields.wrong("name", "is given twice (names are case-insensitive)"));
        }
        attributes.push(attribute);
    }
    Ok(attributes)
}

fn attribute(fields: &Fields<'_>, is_sub: bool) -> Result<Attribute, Error> {
    let data_type = fields.word("type", &DataType::ALL, DataType::as_str)?.unwrap_or(DataType::String);
    let is_exact = matches!(data_type, DataType::Reference | DataType::Binary);
    let attribute = Attribute {
        name: name(fields, is_sub)?,
        data_type,
        multi_valued: fields.flag("multiValued")?.unwrap_or(false),
        required: fields.flag("required")?.unwrap_or(false),
        case_exact: fields.flag("caseExact")?.unwrap_or(is_exact),
        mutability: fields
            .word("mutability", &Mutability::ALL, Mutability::as_str)?
            .unwrap_or(Mutability::ReadWrite),
        returned: fields.word("returned", &Returned::ALL, Returned::as_str)?.unwrap_or(Returned::Default),
        uniqueness: fields
            .word("uniqueness", &Uniqueness::ALL, Uniqueness::as_str)?
            .unwrap_or(Uniqueness::None),
        description: fields.text("description", MAX_DESCRIPTION)?.unwrap_or_default().to_owned().into(),
        canonical_values: fields.texts("canonicalValues")?,
        reference_types: fields.texts("referenceTypes")?,
        sub_attributes: attributes(fields, "subAttributes", true)?,
        max_length: if data_type == DataType::Binary { MAX_LENGTH_BINARY } else { MAX_LENGTH },
        max_values: MAX_VALUES,
        stored: true,
        default: None,
    };
    let contradiction = contradiction(&attribute, is_sub);
    contradiction.map_or(Ok(attribute), |(field, what)| Err(fields.wrong(field, what)))
}

/// The field and the reason, if characteristics contradict each other or are not supported.
fn contradiction(attribute: &Attribute, is_sub: bool) -> Option<(&'static str, &'static str)> {
    let is_complex = attribute.data_type == DataType::Complex;
    let is_read_only = attribute.mutability == Mutability::ReadOnly;
    let is_write_only = attribute.mutability == Mutability::WriteOnly;
    let table = [
        (is_sub && is_complex, "type", "cannot be complex for a sub-attribute (RFC 7643 §2.3.8)"),
        (
            is_sub && attribute.multi_valued,
            "multiValued",
            "must be false for a sub-attribute: nested lists are not supported",
        ),
        (
            is_complex && attribute.sub_attributes.is_empty(),
            "subAttributes",
            "must list the sub-attributes of a complex attribute",
        ),
        (
            !is_complex && !attribute.sub_attributes.is_empty(),
            "subAttributes",
            "is only allowed for the type complex",
        ),
        (
            attribute.uniqueness != Uniqueness::None,
            "uniqueness",
            "must be none: uniqueness of registered attributes is not enforced",
        ),
        (
            is_read_only && attribute.required,
            "required",
            "must be false if mutability is readOnly: no client could write it",
        ),
        (
            is_write_only && attribute.returned != Returned::Never,
            "returned",
            "must be never if mutability is writeOnly (RFC 7643 §7)",
        ),
        (
            (attribute.required || attribute.mutability == Mutability::Immutable)
                && matches!(attribute.returned, Returned::Never | Returned::Request),
            "returned",
            "must be default or always if the attribute is required or immutable: clients send back what they read",
        ),
        (
            attribute.data_type == DataType::Binary && !attribute.case_exact,
            "caseExact",
            "must be true for the type binary (RFC 7643 §2.3.6)",
        ),
        (
            !attribute.canonical_values.is_empty() && attribute.data_type != DataType::String,
            "canonicalValues",
            "is only allowed for the type string",
        ),
        (
            !attribute.reference_types.is_empty() && attribute.data_type != DataType::Reference,
            "referenceTypes",
            "is only allowed for the type reference",
        ),
    ];
    table.into_iter().find(|(is_wrong, ..)| *is_wrong).map(|(_, field, what)| (field, what))
}

/// RFC 7644 §3.4.2.2: `ATTRNAME = ALPHA *(nameChar)`, and `$ref` within a complex attribute (RFC 7643 §2.4).
fn name(fields: &Fields<'_>, is_sub: bool) -> Result<Text, Error> {
    let name = fields.text("name", MAX_NAME_LENGTH)?.unwrap_or_default();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if is_name || (is_sub && name == "$ref") {
        return Ok(name.to_owned().into());
    }
    Err(fields
        .wrong("name", "must start with a letter, followed by letters, digits, - or _ (RFC 7644 §3.4.2.2)"))
}

#[cfg(test)]
mod tests;

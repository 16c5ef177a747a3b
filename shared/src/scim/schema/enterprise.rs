//! The enterprise extension of the User (RFC 7643 §4.3): rows of the table.
//!
//! Read by `schema.rs`. `manager.displayName` is read-only in the RFC; here clients may write it, because
//! directories send it and nobody else could.

use super::{Attribute, ENTERPRISE_URN, Schema};

pub(super) fn schema() -> Schema {
    Schema {
        id: ENTERPRISE_URN.into(),
        name: "EnterpriseUser".into(),
        description: "What an organization knows about a User".into(),
        attributes: vec![
            Attribute::string("employeeNumber", "The number that the organization gave the person"),
            Attribute::string("costCenter", "The cost center; shown as the location"),
            Attribute::string("organization", "The organization"),
            Attribute::string("division", "The division; shown as the business unit"),
            Attribute::string("department", "The department"),
            Attribute::complex("manager", "The person's manager", manager()),
        ],
    }
}

fn manager() -> Vec<Attribute> {
    vec![
        Attribute::string("value", "The identifier of the manager").case_exact(),
        Attribute::reference("$ref", &["User"], "The URI of the manager"),
        Attribute::string("displayName", "The name of the manager"),
    ]
}

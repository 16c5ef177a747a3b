//! The enterprise extension of the User (RFC 7643 §4.3).
//!
//! In the RFC `manager.displayName` is readOnly. Here clients may write it, because directories send it and the service
//! has no other source for it.

use super::{Attribute, ENTERPRISE_URN, Schema};

pub(super) fn schema() -> Schema {
    Schema {
        id: ENTERPRISE_URN.into(),
        name: "EnterpriseUser".into(),
        description: "Enterprise User".into(),
        attributes: vec![
            Attribute::string("employeeNumber", "The number assigned by the organization"),
            Attribute::string("costCenter", "The cost center; shown as the location"),
            Attribute::string("organization", "The organization"),
            Attribute::string("division", "The division; shown as the business unit"),
            Attribute::string("department", "The department"),
            Attribute::complex("manager", "The user's manager", manager()),
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

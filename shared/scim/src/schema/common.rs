//! The common attributes of every resource (RFC 7643 §3, §3.1), which are defined in no schema.

use super::{Attribute, DataType, Returned};

pub(super) fn attributes() -> Vec<Attribute> {
    vec![
        Attribute::reference("schemas", &["uri"], "The URNs of the schemas that the resource uses")
            .multi_valued()
            .read_only()
            .returned(Returned::Always),
        Attribute::string("id", "The identifier assigned by the service provider")
            .case_exact()
            .read_only()
            .unique()
            .returned(Returned::Always),
        Attribute::string("externalId", "The identifier assigned by the client").case_exact().max_length(500),
        Attribute::complex("meta", "Metadata of the resource", meta()).read_only(),
    ]
}

fn meta() -> Vec<Attribute> {
    vec![
        Attribute::string("resourceType", "The name of the resource type").case_exact().read_only(),
        Attribute::new("created", DataType::DateTime, "When the resource was added").read_only(),
        Attribute::new("lastModified", DataType::DateTime, "When the resource last changed").read_only(),
        Attribute::reference("location", &["uri"], "The URI of the resource").read_only(),
        Attribute::string("version", "The entity tag of the resource").case_exact().read_only(),
    ]
}

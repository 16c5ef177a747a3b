//! The core User schema (RFC 7643 §4.1). `roles` and `password` are defined so that clients may send them, but they are
//! not stored.

use super::{Attribute, DataType, MAX_LENGTH_BINARY, Mutability, Returned, Schema, USER_URN};

pub(super) fn schema() -> Schema {
    let mut attributes = singular();
    attributes.extend(plural());
    attributes.push(groups());
    attributes.extend(not_kept());
    Schema { id: USER_URN.into(), name: "User".into(), description: "User Account".into(), attributes }
}

/// RFC 7643 §4.1.1.
fn singular() -> Vec<Attribute> {
    vec![
        Attribute::string("userName", "The name used to sign in; unique and case-insensitive")
            .required()
            .unique()
            .max_length(500),
        Attribute::complex("name", "The components of the user's name", name()).required(),
        Attribute::string("displayName", "The name to display"),
        Attribute::string("nickName", "The casual name"),
        Attribute::reference("profileUrl", &["external"], "The URL of the user's profile"),
        Attribute::string("title", "The job title"),
        Attribute::string("userType", "The relationship to the organization, such as Contractor"),
        Attribute::string("preferredLanguage", "The preferred language, as in Accept-Language"),
        Attribute::string("locale", "The locale for dates, numbers and currency"),
        Attribute::string("timezone", "The time zone, such as America/Los_Angeles"),
        Attribute::new("active", DataType::Boolean, "Whether the user is active; false archives the user")
            .default_to(true),
    ]
}

fn name() -> Vec<Attribute> {
    vec![
        Attribute::string("formatted", "The full name, formatted for display"),
        Attribute::string("familyName", "The family name").required(),
        Attribute::string("givenName", "The given name").required(),
        Attribute::string("middleName", "The middle names"),
        Attribute::string("honorificPrefix", "The titles before the name"),
        Attribute::string("honorificSuffix", "The suffixes after the name"),
    ]
}

/// RFC 7643 §4.1.2.
fn plural() -> Vec<Attribute> {
    let value = |description| Attribute::string("value", description);
    let photo =
        Attribute::reference("value", &["external"], "The URL of the image").max_length(MAX_LENGTH_BINARY);
    let certificate = Attribute::new("value", DataType::Binary, "The certificate in DER, as base64")
        .max_length(MAX_LENGTH_BINARY);
    vec![
        Attribute::plural(
            "emails",
            "Mail addresses",
            value("The address").required(),
            &["work", "home", "other"],
        )
        .required(),
        Attribute::plural(
            "phoneNumbers",
            "Phone numbers",
            value("The number"),
            &["work", "home", "mobile", "fax", "pager", "other"],
        ),
        Attribute::plural(
            "ims",
            "Instant messaging addresses",
            value("The address"),
            &["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"],
        ),
        Attribute::plural("photos", "Photos", photo, &["photo", "thumbnail"]),
        Attribute::complex("addresses", "Postal addresses", address()).multi_valued(),
        Attribute::plural("entitlements", "Entitlements of the user", value("The entitlement"), &[]),
        Attribute::plural("x509Certificates", "Certificates", certificate, &[]),
    ]
}

fn address() -> Vec<Attribute> {
    vec![
        Attribute::string("formatted", "The full address, formatted for display"),
        Attribute::string("streetAddress", "Street, number, box"),
        Attribute::string("locality", "The city"),
        Attribute::string("region", "The state or region"),
        Attribute::string("postalCode", "The postal code"),
        Attribute::string("country", "The country, as ISO 3166-1 alpha-2"),
        Attribute::string("type", "The purpose of the address").canonical(&["work", "home", "other"]),
        Attribute::new(
            "primary",
            DataType::Boolean,
            "Whether this is the preferred address; true at most once",
        ),
    ]
}

/// Computed from the `members` of the groups.
fn groups() -> Attribute {
    let parts = vec![
        Attribute::string("value", "The id of the group").case_exact().read_only(),
        Attribute::reference("$ref", &["Group"], "The URI of the group").read_only(),
        Attribute::string("display", "The name of the group").read_only(),
        Attribute::string("type", "The type of membership").canonical(&["direct"]).read_only(),
    ];
    Attribute::complex("groups", "The groups to which the user belongs", parts).multi_valued().read_only()
}

/// Accepted but ignored: roles are assigned manually, and passwords are not stored.
fn not_kept() -> Vec<Attribute> {
    let password =
        Attribute::string("password", "Accepted but not stored").not_stored().returned(Returned::Never);
    let value = |description| Attribute::string("value", description);
    vec![
        Attribute { mutability: Mutability::WriteOnly, ..password },
        Attribute::plural("roles", "Accepted but not stored", value("The role"), &[]).not_stored(),
    ]
}

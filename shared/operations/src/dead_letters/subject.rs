//! Recognizes dead letters about one user, or of one tenant.

use lapin::message::Delivery;
use serde_json::Value;
use uuid::Uuid;

/// Whom dead letters are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The tenant.
    pub tenant: Uuid,
    /// The tenant's name.
    pub tenant_name: String,
    /// The user; `None` for all dead letters of the tenant.
    pub user: Option<Uuid>,
    /// In lower case, the userName, the externalId and the addresses by which messages without the id are recognized.
    pub names: Vec<String>,
}

impl Subject {
    /// Whether a dead letter is about the user. One that is not JSON belongs to no tenant.
    pub(super) fn is_in(&self, letter: &Delivery) -> bool {
        serde_json::from_slice(&letter.data).is_ok_and(|body| self.is_meant(&body))
    }

    fn is_meant(&self, body: &Value) -> bool {
        let id = self.tenant.to_string();
        let of_tenant =
            |name: &str| name.eq_ignore_ascii_case(&id) || name.eq_ignore_ascii_case(&self.tenant_name);
        if !body["tenant"].as_str().map(str::trim).is_some_and(of_tenant) {
            return false;
        }
        self.user.is_none_or(|user| self.names_user(&user.to_string(), None, body))
    }

    /// Whether a value with this key contains the user's id, or one of the names in a field where they occur.
    fn names_user(&self, id: &str, key: Option<&str>, value: &Value) -> bool {
        match value {
            Value::String(text) => {
                let text = text.to_lowercase();
                let is_field = match key {
                    Some(key) if ["username", "externalid"].contains(&&*key.to_lowercase()) => true,
                    // A value of an address, or of an operation that sets a name.
                    Some("value") => text.contains('@'),
                    _ => false,
                };
                text.contains(id) || is_field && self.names.contains(&text)
            }
            Value::Array(values) => values.iter().any(|value| self.names_user(id, key, value)),
            Value::Object(members) => {
                members.iter().any(|(key, value)| self.names_user(id, Some(key), value))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_letters_about_the_user_are_recognized() {
        let (tenant, id) = (Uuid::from_u128(7), Uuid::from_u128(9));
        let subject = Subject {
            tenant,
            tenant_name: "acme".to_owned(),
            user: Some(id),
            names: vec!["ada".to_owned(), "ada@acme.example".to_owned()],
        };
        for (body, expected) in [
            (json!({ "tenant": "acme", "data": { "user": { "id": id } } }), true),
            (json!({ "tenant": tenant, "resource": id }), true),
            (json!({ "tenant": "other", "data": { "user": { "id": id } } }), false),
            (json!({ "tenant": tenant, "change": { "user": { "userName": "ADA" } } }), true),
            (
                json!({ "tenant": tenant, "change": { "user": { "emails": [{ "value": "Ada@acme.example" }] } } }),
                true,
            ),
            (json!({ "tenant": tenant, "change": { "user": { "roles": [{ "value": "ada" }] } } }), false),
            (json!({ "tenant": tenant, "change": { "user": { "userName": "bob" } } }), false),
            (json!([id]), false),
        ] {
            assert_eq!(subject.is_meant(&body), expected, "{body}");
        }
        let all = Subject { user: None, ..subject };
        assert!(all.is_meant(&json!({ "tenant": "ACME" })) && !all.is_meant(&json!({})));
    }
}

//! A tenant of a stack, created by the CLI.

use serde_json::Value;
use uuid::Uuid;

use crate::content::ContentService;
use crate::okta::Okta;
use crate::stack::Stack;

/// All scopes.
const SCOPES: &str = "scim,events,reports,activity,roles";

/// A tenant.
pub struct Tenant {
    /// Its name, which is the user name of HTTP Basic.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// Its key.
    pub key: Key,
    origin: String,
}

/// A key as the CLI prints it.
#[derive(Clone)]
pub struct Key {
    /// The user name.
    pub username: String,
    /// The key, also used as Bearer token.
    pub api_key: String,
}

impl Tenant {
    /// Adds a tenant with a key.
    ///
    /// # Panics
    /// If the CLI fails.
    pub async fn add(stack: &Stack, name: &str) -> Self {
        stack.rollcall_json(&["tenant", "add", name]).await;
        let id = stack.db().one(&format!("select id from tenants where name = '{name}'")).await;
        let id = id["id"].as_str().unwrap().parse().unwrap();
        Self { name: name.to_owned(), id, key: Key::add(stack, name, SCOPES).await, origin: stack.origin() }
    }

    /// An identity provider with this tenant's key.
    #[must_use]
    pub fn okta(&self) -> Okta {
        self.okta_at(&self.origin)
    }

    /// The same, at another ingest.
    #[must_use]
    pub fn okta_at(&self, origin: &str) -> Okta {
        Okta::basic(origin, &self.key.username, &self.key.api_key)
    }

    /// Changes the tenant's settings.
    ///
    /// # Panics
    /// If the CLI rejects them.
    pub async fn set(&self, stack: &Stack, changes: &[&str]) {
        stack.rollcall_json(&[&["tenant", "set", &self.name], changes].concat()).await;
    }

    /// The content service of this tenant.
    #[must_use]
    pub fn content(&self) -> ContentService {
        ContentService::new(&self.origin, &self.name, &self.key.api_key)
    }
}

impl Key {
    /// Adds another key for a tenant.
    ///
    /// # Panics
    /// If the CLI fails.
    pub async fn add(stack: &Stack, tenant: &str, scopes: &str) -> Self {
        Self::of(&stack.rollcall_json(&["key", "add", tenant, "--scope", scopes]).await)
    }

    /// Parses the CLI's output.
    ///
    /// # Panics
    /// If the output is something else.
    #[must_use]
    pub fn of(printed: &Value) -> Self {
        let text =
            |name: &str| printed[name].as_str().unwrap_or_else(|| panic!("no {name} was printed")).to_owned();
        Self { username: text("username"), api_key: text("api_key") }
    }

    /// Its public prefix.
    ///
    /// # Panics
    /// If the key is malformed.
    #[must_use]
    pub fn prefix(&self) -> &str {
        database::keys::prefix(&self.api_key).expect("a key has a public part")
    }
}

//! A resource as a client may write it: validated and canonical.
//!
//! `draft` validates it against the schema, and `resource/replacing.rs` decides what a PUT keeps and may change.
//! Commands carry it, a `Record` stores it, and `Patch` derives the next version from it.

mod replacing;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::draft::{Draft, How, missing};
use super::error::Error;
use super::json::is_empty;
use super::schema::{ENTERPRISE_URN, ResourceType};

pub(super) use replacing::check_immutable;

/// Canonical attribute names, derived `schemas`, extension attributes under their URN; no `id`, no `meta`, and no
/// attributes that are readOnly or not stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resource(Map<String, Value>);

impl Resource {
    /// Parses the body of a POST or PUT (RFC 7644 §3.3, §3.5.1).
    ///
    /// Attributes that are readOnly, unknown or not stored are ignored; empty values count as absent.
    ///
    /// # Errors
    /// 400 `invalidSyntax` if the body or `schemas` has the wrong structure, otherwise 400 `invalidValue` with the
    /// attribute; 413 if the resource is too large, or its values need too many comparisons.
    pub fn parse(resource_type: &ResourceType, body: &Value) -> Result<Self, Error> {
        let Value::Object(members) = body else {
            return Err(Error::invalid_syntax("the body must be a JSON object"));
        };
        check_schemas(&resource_type.schema.id, members)?;
        let mut draft = Draft::new(resource_type, Map::new());
        draft.merge(How::Replace, members.iter().filter(|(_, value)| !is_empty(value)))?;
        let resource = Self(draft.finish()?);
        resource.require(resource_type)?;
        Ok(resource)
    }

    /// Checks that every required attribute has a value.
    ///
    /// # Errors
    /// 400 `invalidValue`, naming the first missing attribute.
    pub fn require(&self, resource_type: &ResourceType) -> Result<(), Error> {
        match missing(resource_type, &self.0) {
            None => Ok(()),
            Some(missing) => Err(Error::invalid_value(format!("{} is required", missing.path))),
        }
    }

    /// Replaces the previous resource by a PUT. Attributes that are not returned by default cannot be sent back by
    /// clients, so they are kept if omitted (RFC 7644 §3.5.1 allows only readWrite attributes to be cleared by
    /// omission).
    ///
    /// # Errors
    /// 400 `mutability`, naming an immutable attribute that was set and has changed.
    pub fn replacing(self, resource_type: &ResourceType, before: &Resource) -> Result<Self, Error> {
        let after = self.with_unseen(resource_type, before);
        after.check_immutable(resource_type, before)?;
        Ok(after)
    }

    /// Adds the previous values that the client cannot have sent.
    pub(super) fn with_unseen(mut self, resource_type: &ResourceType, before: &Resource) -> Self {
        replacing::add_unseen(resource_type, &before.0, &mut self.0);
        self
    }

    /// Checks that immutable attributes that were set are unchanged (RFC 7643 §7). Setting one for the first time is
    /// allowed.
    ///
    /// # Errors
    /// 400 `mutability`, naming the attribute.
    pub(super) fn check_immutable(
        &self,
        resource_type: &ResourceType,
        before: &Resource,
    ) -> Result<(), Error> {
        replacing::check_all_immutable(resource_type, &before.0, &self.0)
    }

    /// Sets `active`. A PUT that omits it keeps the old value.
    #[must_use]
    pub fn with_active(mut self, active: bool) -> Self {
        self.0.insert("active".to_owned(), Value::Bool(active));
        self
    }

    /// Nothing of this resource but `active`, if it is false.
    #[must_use]
    pub fn only_inactive(&self) -> Self {
        let nothing = Self(Map::new());
        if self.active() == Some(false) { nothing.with_active(false) } else { nothing }
    }

    /// The value at a canonical path: `userName`, `name.givenName`, `urn:…:User:manager.displayName`.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let in_extension = self.0.iter().find_map(|(urn, members)| {
            let rest = path.strip_prefix(urn.as_str())?.strip_prefix(':')?;
            Some((members, rest))
        });
        match in_extension {
            Some((members, rest)) => rest.split('.').try_fold(members, |value, name| value.get(name)),
            None => {
                let (name, rest) =
                    path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
                let value = self.0.get(name)?;
                rest.map_or(Some(value), |rest| value.get(rest))
            }
        }
    }

    /// The string at a canonical path.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path).and_then(Value::as_str)
    }

    /// The members, by canonical name.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(super) fn from_members(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// `userName`; empty only if the resource was never validated.
    pub fn user_name(&self) -> &str {
        self.text("userName").unwrap_or_default()
    }

    /// `externalId`.
    pub fn external_id(&self) -> Option<&str> {
        self.text("externalId")
    }

    /// `active`, if it is assigned.
    pub fn active(&self) -> Option<bool> {
        self.get("active").and_then(Value::as_bool)
    }

    /// The primary mail address, or else the first one.
    pub fn primary_email(&self) -> Option<&str> {
        let emails = self.get("emails")?.as_array()?;
        let primary = emails.iter().find(|email| email.get("primary") == Some(&Value::Bool(true)));
        primary.or_else(|| emails.first())?.get("value")?.as_str()
    }

    /// `name.givenName`.
    pub fn given_name(&self) -> Option<&str> {
        self.text("name.givenName")
    }

    /// `name.familyName`.
    pub fn family_name(&self) -> Option<&str> {
        self.text("name.familyName")
    }

    /// `displayName`.
    pub fn display_name(&self) -> Option<&str> {
        self.text("displayName")
    }

    /// `title`.
    pub fn title(&self) -> Option<&str> {
        self.text("title")
    }

    /// `locale`.
    pub fn locale(&self) -> Option<&str> {
        self.text("locale")
    }

    /// `timezone`.
    pub fn timezone(&self) -> Option<&str> {
        self.text("timezone")
    }

    /// `preferredLanguage`.
    pub fn preferred_language(&self) -> Option<&str> {
        self.text("preferredLanguage")
    }

    /// The enterprise extension's `costCenter`.
    pub fn cost_center(&self) -> Option<&str> {
        self.enterprise("costCenter")
    }

    /// The enterprise extension's `division`.
    pub fn division(&self) -> Option<&str> {
        self.enterprise("division")
    }

    /// The enterprise extension's `department`.
    pub fn department(&self) -> Option<&str> {
        self.enterprise("department")
    }

    /// The enterprise extension's `employeeNumber`.
    pub fn employee_number(&self) -> Option<&str> {
        self.enterprise("employeeNumber")
    }

    /// The manager's `displayName`, or else the `value`.
    pub fn manager_name(&self) -> Option<&str> {
        let manager = self.0.get(ENTERPRISE_URN)?.get("manager")?;
        manager.get("displayName").or_else(|| manager.get("value"))?.as_str()
    }

    fn enterprise(&self, name: &str) -> Option<&str> {
        self.0.get(ENTERPRISE_URN)?.get(name)?.as_str()
    }
}

/// Checks `schemas`, which is optional; if present, it must be a list of URNs that includes the core schema (RFC 7643
/// §3).
pub(super) fn check_schemas(urn: &str, members: &Map<String, Value>) -> Result<(), Error> {
    let given = members.iter().find(|(name, _)| name.eq_ignore_ascii_case("schemas")).map(|(_, value)| value);
    match given {
        Some(value) if !is_empty(value) => require_urn(urn, value),
        _ => Ok(()),
    }
}

/// Checks that the value is a list of URNs that includes this one.
pub(super) fn require_urn(urn: &str, schemas: &Value) -> Result<(), Error> {
    let wrong = || Error::invalid_syntax("schemas must be an array of strings");
    let schemas = schemas.as_array().ok_or_else(wrong)?;
    let mut is_named = false;
    for schema in schemas {
        is_named |= super::urn::is_urn_of(schema.as_str().ok_or_else(wrong)?, urn);
    }
    if is_named { Ok(()) } else { Err(Error::invalid_value(format!("schemas must include {urn}"))) }
}

//! A stored resource, and its representation (RFC 7643 §3.1).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use super::projection::Projection;
use super::resource::Resource;
use super::schema::ResourceType;

/// Always with milliseconds, so that timestamps also compare as text.
const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The stored form of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// `id`
    pub id: Uuid,
    /// The attributes that clients write.
    pub resource: Resource,
    /// `meta.created`
    #[serde(with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// `meta.lastModified`
    #[serde(with = "time::serde::rfc3339")]
    pub last_modified: OffsetDateTime,
    /// The counter behind `meta.version`.
    pub version: i64,
}

impl Record {
    /// The record with a resource that is derived from its own.
    #[must_use]
    pub fn map_resource(&self, derived: impl FnOnce(&Resource) -> Resource) -> Self {
        Self {
            id: self.id,
            resource: derived(&self.resource),
            created: self.created,
            last_modified: self.last_modified,
            version: self.version,
        }
    }

    /// The weak entity tag, which is also `meta.version` (RFC 7644 §3.14).
    pub fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }

    /// `meta.location`, which is also the `Location` header (RFC 7644 §3.3).
    pub fn location(&self, resource_type: &ResourceType, base_url: &str) -> String {
        format!("{}{}/{}", base_url.trim_end_matches('/'), resource_type.endpoint, self.id)
    }

    /// The representation (RFC 7643 §3.1): the stored attributes, `id`, `meta`, defaults of unassigned attributes, and
    /// computed attributes (a user's `groups`, a group's `members`).
    pub fn represent(
        &self,
        resource_type: &ResourceType,
        base_url: &str,
        computed: Option<Computed>,
        projection: &Projection,
    ) -> Value {
        projection.apply(resource_type, self.whole(resource_type, base_url, computed))
    }

    /// All attributes by which clients can filter and sort, whatever their `returned`; the input of
    /// [`Filter::matches`].
    ///
    /// [`Filter::matches`]: super::Filter::matches
    pub fn whole(
        &self,
        resource_type: &ResourceType,
        base_url: &str,
        computed: Option<Computed>,
    ) -> Map<String, Value> {
        let mut members = self.resource.members().clone();
        // Schemas may have been registered or removed since the resource was stored.
        members.insert("schemas".to_owned(), resource_type.used_schemas(&members).into());
        members.extend(computed.and_then(|computed| computed.attribute(base_url)));
        for attribute in resource_type.core_attributes() {
            if let Some(default) = &attribute.default {
                members.entry(&*attribute.name).or_insert_with(|| default.clone());
            }
        }
        let meta = json!({
            "resourceType": resource_type.name,
            "created": timestamp(self.created),
            "lastModified": timestamp(self.last_modified),
            "location": self.location(resource_type, base_url),
            "version": self.etag(),
        });
        members.insert("id".to_owned(), Value::from(self.id.to_string()));
        members.insert("meta".to_owned(), meta);
        members
    }
}

/// Attributes of a representation that are computed from other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Computed {
    /// `members` of a group (RFC 7643 §4.2).
    Members(Vec<Related>),
    /// `groups` of a user (RFC 7643 §4.1.2).
    Groups(Vec<Related>),
}

/// A reference to another resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub display: String,
}

impl Computed {
    /// The attribute's name and value. `None` for a user without groups. A group without members has an empty list,
    /// because clients look for the list in order to fill it.
    fn attribute(self, base_url: &str) -> Option<(String, Value)> {
        let (name, endpoint, kind, related) = match self {
            Self::Groups(related) if related.is_empty() => return None,
            Self::Groups(related) => ("groups", "/Groups", "direct", related),
            Self::Members(related) => ("members", "/Users", "User", related),
        };
        let base_url = base_url.trim_end_matches('/');
        let shown = related.into_iter().map(|Related { id, display }| {
            json!({ "value": id, "$ref": format!("{base_url}{endpoint}/{id}"), "display": display, "type": kind })
        });
        Some((name.to_owned(), Value::Array(shown.collect())))
    }
}

/// A `dateTime` (RFC 7643 §2.3.5) in UTC, with milliseconds.
pub fn timestamp(instant: OffsetDateTime) -> String {
    let utc = instant.checked_to_offset(UtcOffset::UTC).unwrap_or(instant);
    utc.format(MILLISECONDS).expect("the format uses only components of a date and time")
}

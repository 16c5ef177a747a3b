//! Where the values of an attribute are: in a column, in the search document, or in the rows of memberships.
//!
//! In every statement the listed users or groups are called `r`, a membership `m`, and the resource at its other end
//! `o`. Expressions are written as in the indexes.

use serde_json::Value;

use super::sql::{self, Sql};
use scim::USER_URN;
use scim::schema::{Attribute, Resolved, ResourceType, Target};
use scim::syntax::AttrPath;

/// Which table is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Users,
    Groups,
}

impl Table {
    pub(super) fn of(resource_type: &ResourceType) -> Self {
        if *resource_type.schema.id == *USER_URN { Self::Users } else { Self::Groups }
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
        }
    }

    /// The memberships of `r`, with the resource at their other end, which has the same tenant. (`r` is only named
    /// after `where`: otherwise Postgres does not turn this into a join, and cannot start from an indexed membership.)
    pub(super) fn memberships(self) -> &'static str {
        match self {
            Self::Users => {
                "group_members m join groups o on o.id = m.group_id \
                 where m.user_id = r.id and o.tenant_id = r.tenant_id"
            }
            Self::Groups => {
                "group_members m join users o on o.id = m.user_id \
                 where m.group_id = r.id and o.tenant_id = r.tenant_id"
            }
        }
    }
}

/// What the paths of a filter are relative to.
#[derive(Clone)]
pub(super) enum Scope<'a> {
    /// A resource: `r`.
    Resource,
    /// `meta`, which every resource has.
    Meta(&'a Attribute),
    /// One value of a complex attribute: the JSON, and the nesting depth of value filters.
    Element(&'a Attribute, Sql, usize),
    /// One membership: `m` and `o`.
    Membership(&'a Attribute),
}

/// The values of an attribute.
pub(super) enum Field {
    /// The attribute never has a value.
    Nothing,
    /// The attribute always has a value, which is not compared as a whole.
    Always,
    /// At most one text; null if the attribute is absent.
    Text(Column),
    /// One instant.
    Instant(&'static str),
    /// Values in JSON.
    Json(Json),
    /// The memberships, compared by this part, and looked up by the id at their other end.
    Memberships(Option<Column>),
}

/// A text column, or a text derived from a column.
#[derive(Clone)]
pub(super) struct Column {
    /// The text, compared by its bytes.
    pub text: Sql,
    /// The expression for equality, if the index has it instead of the text.
    pub equal: Option<&'static str>,
    /// If the text is a prefix and an id: the id's column, for equality, and the prefix.
    pub id: Option<(&'static str, String)>,
    /// Whether it is indexed.
    pub is_indexed: bool,
    /// Whether every resource has a value.
    pub is_certain: bool,
}

/// A path into JSON.
#[derive(Clone)]
pub(super) struct Json {
    /// The JSON; `None` for the resource's own.
    element: Option<Sql>,
    /// The steps, in SQL/JSON: `."name"[*]."givenName"[*]`. In `lax` mode, the default, absent members and unexpected
    /// types are not errors, and `[*]` treats a single value as a list of one.
    path: String,
}

impl Json {
    fn document(steps: &[&str]) -> Self {
        Self { element: None, path: String::new() }.then(steps)
    }

    /// The JSON itself.
    pub(super) fn of(element: Sql) -> Self {
        Self { element: Some(element), path: String::new() }
    }

    /// Adds steps.
    pub(super) fn then(&self, steps: &[&str]) -> Self {
        let steps = steps.iter().map(|step| format!(".{}[*]", Value::from(*step)));
        Self { element: self.element.clone(), path: self.path.clone() + &steps.collect::<String>() }
    }

    /// Whether it is this attribute of the resource.
    pub(super) fn is(&self, attribute: &str, sub: Option<&str>) -> bool {
        let steps: Vec<&str> = std::iter::once(attribute).chain(sub).collect();
        self.element.is_none() && self.path == Self::document(&steps).path
    }

    /// The JSON that the path starts from.
    pub(super) fn base(&self) -> Sql {
        self.element.clone().unwrap_or_else(|| "r.search".into())
    }

    /// The whole path, with a condition on its values, as a bound parameter.
    pub(super) fn path_to(&self, condition: &str) -> Sql {
        let condition = if condition.is_empty() { String::new() } else { format!(" ? ({condition})") };
        sql::text(format!("${}{condition}", self.path))
    }
}

/// Finds the fields of the listed resource type. `base_url` is the start of its locations.
#[derive(Clone, Copy)]
pub(super) struct Finder<'a> {
    pub resource_type: &'a ResourceType,
    pub base_url: &'a str,
}

impl<'a> Finder<'a> {
    pub(super) fn table(self) -> Table {
        Table::of(self.resource_type)
    }

    /// The attribute that a path names, and its values; `None` if it is unknown.
    pub(super) fn find(self, scope: &Scope<'a>, path: &AttrPath) -> Option<(&'a Attribute, Field)> {
        match scope {
            Scope::Resource => match self.resource_type.resolve(path.as_str())? {
                Resolved::Attribute(target) => Some((target.leaf(), self.field(target))),
                Resolved::Schema(_) => None,
            },
            Scope::Meta(meta) => {
                let sub = meta.sub_attribute(path.as_str())?;
                Some((sub, self.meta(sub)))
            }
            Scope::Element(parent, element, _) if parent.is_own_value(path.as_str()) => {
                Some((parent, Field::Json(Json::of(element.clone()))))
            }
            Scope::Element(parent, element, _) => {
                let sub = parent.sub_attribute(path.as_str())?;
                Some((sub, Field::Json(Json::of(element.clone()).then(&[&sub.name]))))
            }
            Scope::Membership(parent) => {
                let sub = parent.sub_attribute(path.as_str())?;
                Some((sub, self.membership(sub).map_or(Field::Nothing, Field::Text)))
            }
        }
    }

    /// The values of an attribute of the resource.
    pub(super) fn field(self, target: Target<'_>) -> Field {
        let Target { extension, attribute, sub } = target;
        if let Some(schema) = extension {
            let steps: Vec<&str> =
                [&*schema.id, &*attribute.name].into_iter().chain(sub.map(|sub| &*sub.name)).collect();
            return Field::Json(Json::document(&steps));
        }
        let column = |text: &'static str| Column {
            text: text.into(),
            equal: None,
            id: None,
            is_indexed: true,
            is_certain: false,
        };
        match (self.table(), &*attribute.name, sub) {
            (_, "id", _) => Field::Text(self.id("r.id", "(r.id::text collate \"C\")")),
            (Table::Users, "externalId", _) => Field::Text(Column {
                equal: Some("r.external_id"),
                ..column("(r.external_id collate \"C\")")
            }),
            (Table::Groups, "externalId", _) => Field::Text(column("r.external_id")),
            (_, "meta", None) => Field::Always,
            (_, "meta", Some(sub)) => self.meta(sub),
            (Table::Users, "userName", _) => {
                let text = "(r.user_name_key collate \"C\")";
                Field::Text(Column { equal: Some("r.user_name_key"), is_certain: true, ..column(text) })
            }
            (_, "displayName", _) => Field::Text(column("((r.search ->> 'displayName') collate \"C\")")),
            (Table::Users, "groups", sub) | (Table::Groups, "members", sub) => match sub {
                None => Field::Memberships(self.membership_by("value")),
                Some(sub) => {
                    self.membership(sub).map_or(Field::Nothing, |part| Field::Memberships(Some(part)))
                }
            },
            (_, name, None) => Field::Json(Json::document(&[name])),
            (_, name, Some(sub)) => Field::Json(Json::document(&[name, &sub.name])),
        }
    }

    /// RFC 7643 §3.1, as `Record::represent` shows it.
    fn meta(self, sub: &Attribute) -> Field {
        let text =
            |text| Field::Text(Column { text, equal: None, id: None, is_indexed: false, is_certain: true });
        match &*sub.name {
            "created" => Field::Instant("r.created_at"),
            "lastModified" => Field::Instant("r.modified_at"),
            "version" => text("(('W/\"' || r.version || '\"') collate \"C\")".into()),
            "location" => {
                let prefix = self.locations(&self.resource_type.endpoint);
                Field::Text(self.reference("r.id", "((? || r.id::text) collate \"C\")", prefix))
            }
            "resourceType" => {
                text(Sql::fill("(?::text collate \"C\")", [sql::text(&*self.resource_type.name)]))
            }
            _ => Field::Nothing,
        }
    }

    fn membership(self, sub: &Attribute) -> Option<Column> {
        self.membership_by(&sub.name)
    }

    /// One part of a membership (RFC 7643 §4.1.2 `groups`, §4.2 `members`), as `Computed` shows it.
    fn membership_by(self, part: &str) -> Option<Column> {
        let text = |text: &'static str| Column {
            text: text.into(),
            equal: None,
            id: None,
            is_indexed: false,
            is_certain: true,
        };
        let (id, id_text, endpoint, display, kind) = match self.table() {
            Table::Users => (
                "m.group_id",
                ("(m.group_id::text collate \"C\")", "((? || m.group_id::text) collate \"C\")"),
                "/Groups",
                "((o.search ->> 'displayName') collate \"C\")",
                "('direct'::text collate \"C\")",
            ),
            Table::Groups => (
                "m.user_id",
                ("(m.user_id::text collate \"C\")", "((? || m.user_id::text) collate \"C\")"),
                "/Users",
                "(coalesce(m.display_search, o.search ->> 'displayName', o.user_name_key) collate \"C\")",
                "('user'::text collate \"C\")",
            ),
        };
        match part {
            "value" => Some(self.id(id, id_text.0)),
            "$ref" => Some(self.reference(id, id_text.1, self.locations(endpoint))),
            "display" => Some(text(display)),
            "type" => Some(text(kind)),
            _ => None,
        }
    }

    fn id(self, column: &'static str, text: &'static str) -> Column {
        Column {
            text: text.into(),
            equal: None,
            id: Some((column, String::new())),
            is_indexed: true,
            is_certain: true,
        }
    }

    fn reference(self, column: &'static str, template: &'static str, prefix: String) -> Column {
        let text = Sql::fill(template, [sql::text(prefix.clone())]);
        Column { text, equal: None, id: Some((column, prefix)), is_indexed: false, is_certain: true }
    }

    /// The start of an endpoint's locations.
    fn locations(self, endpoint: &str) -> String {
        format!("{}{endpoint}/", self.base_url.trim_end_matches('/'))
    }
}

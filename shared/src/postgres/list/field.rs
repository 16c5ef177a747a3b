//! Where the values of an attribute are found: in a column, in the folded JSON, in the rows of memberships.
//!
//! Before it: an attribute's row in the table of characteristics. After it: `condition` and `order`, which compare there.
//!
//! The users or groups that are listed are called `r` in every statement, a membership `m`, and who is at its other
//! end `o`. Expressions are written as the indexes have them.

use serde_json::Value;

use super::sql::{self, Sql};
use crate::scim::USER_URN;
use crate::scim::path::AttrPath;
use crate::scim::schema::{Attribute, Resolved, ResourceType, Target};

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

    /// Its name, and what the table at the other end of a membership is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
        }
    }

    /// The memberships of `r`, with whoever is at their other end; of the same tenant, as everything is. (Postgres turns it
    /// into a join, and so begins with the membership where that is looked up, only if `r` is named after `where` alone.)
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
    /// `meta`, which everything has.
    Meta(&'a Attribute),
    /// One value of a complex attribute: the JSON, and how many value filters stand around it.
    Element(&'a Attribute, Sql, usize),
    /// One membership: `m` and `o`.
    Membership(&'a Attribute),
}

/// The values of an attribute.
pub(super) enum Field {
    /// There are none, ever.
    Nothing,
    /// One is there, and is not compared as a whole.
    Always,
    /// At most one text: null if there is none.
    Text(Column),
    /// One instant.
    Instant(&'static str),
    /// Within JSON.
    Json(Json),
    /// The memberships themselves, which are compared by this part of them, and found by the id at their other end.
    Memberships(Option<Column>),
}

/// A text that is a column or made of one.
#[derive(Clone)]
pub(super) struct Column {
    /// The text, to be compared by its bytes.
    pub text: Sql,
    /// What an equality is asked of, where an index has that and not the text.
    pub equal: Option<&'static str>,
    /// The column of an id after a prefix, if the text is one: an equality is asked of it.
    pub id: Option<(&'static str, String)>,
    /// Whether an index has it.
    pub is_indexed: bool,
    /// Whether every resource has one.
    pub is_certain: bool,
}

/// A place in JSON.
#[derive(Clone)]
pub(super) struct Json {
    /// The JSON; none for the resource's own.
    element: Option<Sql>,
    /// Steps into it, as SQL/JSON writes them: `."name"[*]."givenName"[*]`. In `lax` mode, which is the default, what is not
    /// there or has another shape is no error, and `[*]` takes a single value for a list of one.
    path: String,
}

impl Json {
    fn folded(steps: &[&str]) -> Self {
        Self { element: None, path: String::new() }.then(steps)
    }

    /// This JSON itself.
    pub(super) fn of(element: Sql) -> Self {
        Self { element: Some(element), path: String::new() }
    }

    /// Deeper in.
    pub(super) fn then(&self, steps: &[&str]) -> Self {
        let steps = steps.iter().map(|step| format!(".{}[*]", Value::from(*step)));
        Self { element: self.element.clone(), path: self.path.clone() + &steps.collect::<String>() }
    }

    /// Whether it is this attribute of the resource.
    pub(super) fn is(&self, attribute: &str, sub: Option<&str>) -> bool {
        let steps: Vec<&str> = std::iter::once(attribute).chain(sub).collect();
        self.element.is_none() && self.path == Self::folded(&steps).path
    }

    /// The JSON.
    pub(super) fn base(&self) -> Sql {
        self.element.clone().unwrap_or_else(|| "r.folded".into())
    }

    /// The whole path with a condition on what is there, to be bound.
    pub(super) fn path_to(&self, condition: &str) -> Sql {
        let condition = if condition.is_empty() { String::new() } else { format!(" ? ({condition})") };
        sql::text(format!("${}{condition}", self.path))
    }
}

/// Who looks for fields: the listed type, and what its locations begin with.
#[derive(Clone, Copy)]
pub(super) struct Finder<'a> {
    pub resource_type: &'a ResourceType,
    pub base_url: &'a str,
}

impl<'a> Finder<'a> {
    pub(super) fn table(self) -> Table {
        Table::of(self.resource_type)
    }

    /// The attribute that a path names, by its row and its values. None for what is unknown.
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
            return Field::Json(Json::folded(&steps));
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
            (_, "displayName", _) => Field::Text(column("((r.folded ->> 'displayName') collate \"C\")")),
            (Table::Users, "groups", sub) | (Table::Groups, "members", sub) => match sub {
                None => Field::Memberships(self.membership_by("value")),
                Some(sub) => {
                    self.membership(sub).map_or(Field::Nothing, |part| Field::Memberships(Some(part)))
                }
            },
            (_, name, None) => Field::Json(Json::folded(&[name])),
            (_, name, Some(sub)) => Field::Json(Json::folded(&[name, &sub.name])),
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
                "((o.folded ->> 'displayName') collate \"C\")",
                "('direct'::text collate \"C\")",
            ),
            Table::Groups => (
                "m.user_id",
                ("(m.user_id::text collate \"C\")", "((? || m.user_id::text) collate \"C\")"),
                "/Users",
                "(coalesce(m.display_folded, o.folded ->> 'displayName', o.user_name_key) collate \"C\")",
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

    /// What the locations of an endpoint begin with.
    fn locations(self, endpoint: &str) -> String {
        format!("{}{endpoint}/", self.base_url.trim_end_matches('/'))
    }
}

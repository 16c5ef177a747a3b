//! Lists (RFC 7644 §3.4.2): a filter, an order and a page, as one query over the users or the groups of a tenant.
//!
//! Before it: the list endpoint, which has parsed the request. After it: a page of records.

mod condition;
mod field;
mod literal;
mod order;
mod page;
mod sql;
mod whole;

use serde_json::Value;
use uuid::Uuid;

use self::field::{Finder, Scope, Table};
use self::order::Order;
use self::sql::Sql;
use crate::scim::path::AttrPath;
use crate::scim::{self, Filter, Record, ResourceType};

/// Whose account some identity provider owns: it made the account, or has linked it. The partial index
/// `users_listed` has the same condition: change both together.
const LINKED: &str = "(r.origin <> 'manual' or r.external_id is not null or r.linked_at is not null)";

/// In which order (RFC 7644 §3.4.2.3). Ties are in the order of ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    /// `sortBy`.
    pub by: AttrPath,
    /// `sortOrder` is `descending`.
    pub descending: bool,
}

/// Where a list is cut: behind a resource, wherever that may have gone since.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its id.
    pub id: Uuid,
    /// By what it was sorted; null for nothing.
    pub key: Value,
}

/// Which part of the whole list.
#[derive(Debug, Clone, PartialEq)]
pub enum Slice {
    /// By position: from the `offset`-th (from 0).
    Index {
        /// How many are left out.
        offset: i64,
        /// The most results; 0 asks for the total alone.
        count: i64,
    },
    /// By key: those after this mark in the order of the list; `None` is the beginning.
    After {
        /// Behind the last resource of the page before.
        last: Option<Mark>,
        /// The most results; 0 asks whether there are any.
        count: i64,
        /// Whether it is to be told how many there are in all.
        is_counted: bool,
    },
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The page.
    pub records: Vec<Record>,
    /// By what each of them is sorted; null for nothing.
    pub keys: Vec<Value>,
    /// How many there are in all, if they were to be counted.
    pub total: Option<i64>,
    /// Whether more come after it.
    pub has_more: bool,
}

impl Page {
    /// Behind its last resource.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let (last, key) = self.records.last().zip(self.keys.last())?;
        Some(Mark { id: last.id, key: key.clone() })
    }

    /// Leaves this many of its resources.
    pub fn shorten(&mut self, length: usize) {
        self.has_more |= length < self.records.len();
        self.records.truncate(length);
        self.keys.truncate(length);
    }
}

/// A list that makes sense: what it is made of has been held against the schema.
#[derive(Debug, Clone)]
pub struct List {
    tenant: Uuid,
    table: Table,
    condition: Option<Sql>,
    /// Whether the request has no filter.
    is_whole: bool,
    order: Option<Order>,
}

impl List {
    /// A tenant's users or groups, whichever `resource_type` is. `base_url` is what `meta.location` begins with.
    ///
    /// # Errors
    /// 400 `invalidFilter` as [`Filter::matches`] has it; 400 `invalidPath` for an attribute that cannot be sorted by.
    pub fn new(
        tenant: Uuid,
        resource_type: &ResourceType,
        base_url: &str,
        filter: Option<&Filter>,
        sort: Option<&Sort>,
    ) -> Result<Self, scim::Error> {
        let finder = Finder { resource_type, base_url };
        if let Some(filter) = filter {
            // Held against nothing, for the errors.
            filter.matches(resource_type, &Value::Null)?;
        }
        let condition = match (filter, finder.table()) {
            (Some(filter), _) => Some(finder.condition(filter, &Scope::Resource)),
            // Users flow from the identity provider to here, never back: it imports nobody whom it does not own. Who is
            // looked for is found, so that it can link the account.
            (None, Table::Users) => Some(LINKED.into()),
            (None, Table::Groups) => None,
        };
        let order = sort.map(|sort| Order::new(finder, sort)).transpose()?.flatten();
        Ok(Self { tenant, table: finder.table(), condition, is_whole: filter.is_none(), order })
    }
}

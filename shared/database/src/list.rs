//! Lists (RFC 7644 §3.4.2): a filter, an order and a page, as one query over a tenant's users or groups.

mod condition;
mod cost;
mod field;
mod literal;
mod order;
mod page;
mod room;
mod sql;
mod whole;

use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use uuid::Uuid;

use self::field::{Finder, Scope, Table};
use self::order::Order;
use self::sql::{Sql, Statement};
use crate::Error;
use scim::syntax::AttrPath;
use scim::{self, Filter, Record, ResourceType};

/// Accounts that an identity provider owns: it created or linked them. The partial index `users_listed` has the same
/// condition: change both together.
const LINKED: &str = "(r.origin <> 'manual' or r.external_id is not null or r.linked_at is not null)";

/// The order of a list (RFC 7644 §3.4.2.3). Ties are ordered by id.
#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    /// `sortBy`.
    pub by: AttrPath,
    /// `sortOrder` is `descending`.
    pub descending: bool,
}

/// A position in a list: after a resource, which may have been moved or deleted since.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its id.
    pub id: Uuid,
    /// Its sort key; null if it has none.
    pub key: Value,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Slice {
    /// By position: from `offset` (counted from 0).
    Index {
        /// How many are skipped.
        offset: i64,
        /// The maximum number of results; 0 returns only the total.
        count: i64,
    },
    /// By cursor: those after a mark, in the order of the list.
    After {
        /// The last resource of the previous page; `None` for the first page.
        last: Option<Mark>,
        /// The maximum number of results; 0 only returns whether there are any.
        count: i64,
        /// Whether to count the total.
        is_counted: bool,
    },
}

/// The maximum total size of the resources on a page, in bytes. A shorter page is allowed (RFC 7644 §3.4.2.4).
pub const PAGE_BYTES: i64 = 8 << 20;

/// How large the resources of a page may be. A larger page is shorter than requested, and [`Page::has_more`] is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Their maximum total size, in bytes.
    pub bytes: i64,
    /// Whether the page has at least one resource, whatever its size.
    pub takes_one: bool,
}

impl Default for Room {
    /// A whole page.
    fn default() -> Self {
        Self { bytes: PAGE_BYTES, takes_one: true }
    }
}

/// One page of a list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Its resources.
    pub records: Vec<Record>,
    /// The sort key of each resource; null if it has none.
    pub keys: Vec<Value>,
    /// The size of each resource, in bytes.
    pub sizes: Vec<i64>,
    /// The total, if it was counted.
    pub total: Option<i64>,
    /// Whether more resources follow.
    pub has_more: bool,
}

impl Page {
    /// The position after its last resource.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let (last, key) = self.records.last().zip(self.keys.last())?;
        Some(Mark { id: last.id, key: key.clone() })
    }

    /// Truncates the page to this many resources.
    pub fn shorten(&mut self, length: usize) {
        self.has_more |= length < self.records.len();
        self.records.truncate(length);
        self.keys.truncate(length);
        self.sizes.truncate(length);
    }
}

/// A list whose filter and order have been checked against the schema.
#[derive(Debug, Clone)]
pub struct List {
    tenant: Uuid,
    table: Table,
    condition: Option<Sql>,
    /// Whether the request has no filter.
    is_whole: bool,
    order: Option<Order>,
    /// The number of values that are compared with each of the tenant's resources; 0 if an index finds those that
    /// matter.
    terms: i64,
}

impl List {
    /// A list of a tenant's users or groups, depending on `resource_type`. `base_url` is the start of `meta.location`.
    ///
    /// # Errors
    /// 400 `invalidFilter` as in [`Filter::matches`]; 400 `invalidPath` for an attribute that cannot be sorted by.
    pub fn new(
        tenant: Uuid,
        resource_type: &ResourceType,
        base_url: &str,
        filter: Option<&Filter>,
        sort: Option<&Sort>,
    ) -> Result<Self, scim::Error> {
        let finder = Finder { resource_type, base_url };
        if let Some(filter) = filter {
            // Evaluated against an empty resource, to report errors.
            filter.matches(resource_type, &Value::Null)?;
        }
        let condition = match (filter, finder.table()) {
            (Some(filter), _) => Some(condition::of(finder, filter, &Scope::Resource)),
            // Users are provisioned from the identity provider to here, never back: it must not import users that it
            // does not own. A filter finds every user, so that the identity provider can link the account.
            (None, Table::Users) => Some(LINKED.into()),
            (None, Table::Groups) => None,
        };
        let order = sort.map(|sort| Order::new(finder, sort)).transpose()?.flatten();
        let computed_keys = i64::from(order.as_ref().is_some_and(|order| order.is_computed));
        let terms = match (filter, &condition) {
            // With further comparisons a range may be as much work as all resources.
            (Some(_), Some(found)) if found.is_narrow() || found.is_range() => 0,
            _ => filter.map_or(0, cost::terms) + computed_keys,
        };
        Ok(Self { tenant, table: finder.table(), condition, is_whole: filter.is_none(), order, terms })
    }

    /// One page of the list, of at most [`PAGE_BYTES`].
    ///
    /// # Errors
    /// [`Error::TooManyTerms`] if it compares too much, [`Error::TooBroad`] if it takes too long; otherwise see
    /// [`Error`].
    pub async fn page(&self, connection: &mut AsyncPgConnection, slice: Slice) -> Result<Page, Error> {
        self.page_within(connection, slice, Room::default()).await
    }

    /// The same with a limit for the part of a page.
    ///
    /// # Errors
    /// As [`List::page`].
    pub async fn page_within(
        &self,
        connection: &mut AsyncPgConnection,
        slice: Slice,
        room: Room,
    ) -> Result<Page, Error> {
        page::read(self, connection, slice, room).await
    }

    async fn count(&self, connection: &mut AsyncPgConnection) -> Result<i64, Error> {
        let parts = [self.table.name().into(), sql::uuid(self.tenant), self.condition()];
        let counted = Sql::fill("select count(*) from ? r where r.tenant_id = ? and ?", parts);
        Ok(Statement::<BigInt>::new(counted, self.is_plain()).get_result(connection).await?)
    }

    fn condition(&self) -> Sql {
        self.condition.clone().unwrap_or_else(|| "true".into())
    }

    /// Whether this is a frequent query that an index answers: a lookup, or the whole list in the order of ids. These
    /// few statements are prepared once and need no time limit of their own.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.order.is_none() && (self.is_whole || self.condition.as_ref().is_some_and(Sql::is_lookup))
    }
}

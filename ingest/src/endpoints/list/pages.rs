//! Reads one page of a query over one or both kinds of resources: users first, then groups. A page ends early when the
//! next resource would make it larger than [`PAGE_BYTES`].

use std::collections::HashMap;

use database::list::{List, Mark, PAGE_BYTES, Page, Room, Slice, Sort};
use diesel_async::AsyncPgConnection;
use scim::{Error, Filter, Projection, Related, ResourceType, Selection};
use serde_json::Value;
use uuid::Uuid;

use super::cursor::Place;
use crate::admission::Permit;
use crate::endpoints::context::RequestContext;
use crate::endpoints::kind::Kind;
use crate::endpoints::read;
use crate::http::response::Refusal;

/// A query without its paging.
pub(super) struct Wanted {
    pub(super) projection: Projection,
    pub(super) filter: Option<Filter>,
    pub(super) sort: Option<Sort>,
}

/// A page of a ListResponse.
#[derive(Debug, Default)]
pub(super) struct ListPage {
    pub(super) resources: Vec<Value>,
    /// The total number of results.
    pub(super) total: i64,
    /// The start of the next page, if paging is by cursor and there is one.
    pub(super) next: Option<Place>,
    /// The total size of the resources, in bytes, without what all resources have.
    bytes: i64,
    /// What the resources take of the tenant's share until the response has its own size.
    pub(super) permits: Vec<Permit>,
}

impl ListPage {
    /// The room for more resources. The first one is shown whatever its size.
    fn room(&self) -> Room {
        Room { bytes: PAGE_BYTES - self.bytes, takes_one: self.resources.is_empty() }
    }
}

/// The part of a query that selects resources of one kind.
pub(super) struct Part<'a> {
    context: &'a RequestContext,
    projection: &'a Projection,
    kind: Kind,
    /// `None` if the query cannot match this kind.
    list: Option<List>,
}

/// The parts of a query over these kinds.
///
/// # Errors
/// 400 for an invalid filter or sort attribute.
pub(super) fn parts<'a>(
    context: &'a RequestContext,
    kinds: &[Kind],
    wanted: &'a Wanted,
) -> Result<Vec<Part<'a>>, Error> {
    kinds.iter().map(|kind| part(context, *kind, kinds.len() == 1, wanted)).collect()
}

fn part<'a>(
    context: &'a RequestContext,
    kind: Kind,
    is_alone: bool,
    wanted: &'a Wanted,
) -> Result<Part<'a>, Error> {
    let types = &context.tenant.types;
    let own = kind.resource_type(types);
    let selection = match &wanted.filter {
        None => Selection::Everything,
        Some(filter) if is_alone => Selection::Those(filter.clone()),
        Some(filter) => filter.for_type(types, own)?,
    };
    let filter = match &selection {
        Selection::Everything => None,
        Selection::Those(filter) => Some(filter),
        Selection::Nothing => return Ok(Part { context, projection: &wanted.projection, kind, list: None }),
    };
    // If only the other type has the sort attribute, this type is sorted by id.
    let has = |of: &ResourceType, sort: &Sort| of.resolve(sort.by.as_str()).is_some();
    let is_absent = |sort: &Sort| !is_alone && !has(own, sort) && types.iter().any(|other| has(other, sort));
    let sort = wanted.sort.as_ref().filter(|sort| !is_absent(sort));
    let list = Some(List::new(context.tenant.id, own, &context.base, filter, sort)?);
    Ok(Part { context, projection: &wanted.projection, kind, list })
}

/// The page at this position, counted from 0.
///
/// # Errors
/// 400 `tooMany`, 429 while Postgres is unavailable.
pub(super) async fn by_index(parts: &[Part<'_>], offset: i64, count: i64) -> Result<ListPage, Refusal> {
    let (mut shown, mut offset, mut count) = (ListPage::default(), offset, count);
    for part in parts {
        let page = part.show(Slice::Index { offset, count }, &mut shown).await?;
        offset = offset.saturating_sub(page.total).max(0);
        // If this part goes on, the page ends here, and the next part is only counted.
        count = if page.has_more { 0 } else { count - page.length };
    }
    Ok(shown)
}

/// The page that starts at `from`; `count` is at least 1. Only the first page counts the total, since that reads the
/// whole list. Later pages take it from their cursor.
///
/// # Errors
/// 400 `tooMany`, 429 while Postgres is unavailable.
pub(super) async fn by_cursor(parts: &[Part<'_>], from: Place, count: i64) -> Result<ListPage, Refusal> {
    const TOTAL_ALONE: Slice = Slice::Index { offset: 0, count: 0 };
    let (mut shown, mut count) = (ListPage::default(), count);
    let is_counted = from.total.is_none();
    for part in parts {
        let kind = part.kind;
        if kind >= from.kind && shown.next.is_none() {
            let last = from.last.clone().filter(|_| kind == from.kind);
            let page = part.show(Slice::After { last, count, is_counted }, &mut shown).await?;
            count -= page.length;
            shown.next = page.has_more.then_some(Place { kind, last: page.last, total: None });
        } else if is_counted {
            part.show(TOTAL_ALONE, &mut shown).await?;
        }
    }
    shown.total = from.total.unwrap_or(shown.total);
    if let Some(next) = &mut shown.next {
        next.total = Some(shown.total);
    }
    Ok(shown)
}

/// The size and the end of a part's page.
struct Receipts {
    total: i64,
    length: i64,
    last: Option<Mark>,
    has_more: bool,
}

/// The computed attributes of a page's resources.
type Relations = HashMap<Uuid, Vec<Related>>;

impl Part<'_> {
    async fn show(&self, slice: Slice, shown: &mut ListPage) -> Result<Receipts, Refusal> {
        let Some(list) = &self.list else {
            return Ok(Receipts { total: 0, length: 0, last: None, has_more: false });
        };
        let (kind, types) = (self.kind, &self.context.tenant.types);
        let with_related = read::shows(self.projection, kind, types);
        let connection = self.context.read_permit(list).await?;
        let read = self.read(list, slice, shown.room(), with_related).await;
        drop(connection);
        let Read { page, bytes, mut related, permit } = read.map_err(|error| Refusal::unread(&error))?;
        shown.permits.push(permit?);
        shown.bytes += bytes;
        let total = page.total.unwrap_or_default();
        let receipts = Receipts {
            total,
            length: i64::try_from(page.records.len()).unwrap_or(i64::MAX),
            last: page.mark(),
            has_more: page.has_more,
        };
        shown.total += total;
        let resource_type = kind.resource_type(types);
        shown.resources.extend(page.records.into_iter().map(|record| {
            let related = related.remove(&record.id).unwrap_or_default();
            let computed = with_related.then(|| kind.computed_of(related));
            record.represent(resource_type, &self.context.base, computed, self.projection)
        }));
        Ok(receipts)
    }

    /// Reads a part of a page. Groups and their members are from one snapshot.
    async fn read(
        &self,
        list: &List,
        slice: Slice,
        room: Room,
        with_related: bool,
    ) -> Result<Read, database::Error> {
        let kind = self.kind;
        let read = async |c: &mut AsyncPgConnection| {
            let mut page = list.page_within(c, slice, room).await?;
            let mut ids: Vec<Uuid> = page.records.iter().map(|record| record.id).collect();
            let mut bytes = page.sizes.iter().sum();
            // A single resource is shown whatever the size of its attribute. Most lookups find one user.
            let is_alone = ids.len() == 1 && room.takes_one && kind == Kind::User;
            if with_related && !ids.is_empty() && !is_alone {
                let (shown, total) = read::shown_together(c, kind, &ids, &page.sizes, room).await?;
                page.shorten(shown);
                ids.truncate(shown);
                bytes = total;
            }
            // Before the members are read: a group may have 100,000.
            let size = usize::try_from(bytes).unwrap_or_default();
            let permit = self.context.app.admission.admit_answer(self.context.tenant.id, size);
            let related = if with_related && !ids.is_empty() && permit.is_ok() {
                read::computed(c, kind, &ids).await?
            } else {
                HashMap::new()
            };
            Ok(Read { page, bytes, related, permit })
        };
        let pool = &self.context.app.pool;
        if with_related && kind == Kind::Group {
            pool.bounded(async |c| c.build_transaction().repeatable_read().read_only().run(read).await).await
        } else {
            pool.bounded(read).await
        }
    }
}

/// A part of a page, as it was read.
struct Read {
    page: Page,
    /// Its size, in bytes.
    bytes: i64,
    /// Empty without a permit.
    related: Relations,
    /// The permit for its size, or 429.
    permit: Result<Permit, Error>,
}

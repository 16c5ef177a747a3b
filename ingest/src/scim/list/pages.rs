//! One page over one or both kinds of resources: users first, then groups.
//!
//! Before it: a query that has been read. After it: what the ListResponse shows.

use std::collections::HashMap;

use diesel_async::AsyncPgConnection;
use serde_json::Value;
use shared::postgres::list::{List, Mark, Page, Slice, Sort};
use shared::postgres::{self, Pool};
use shared::scim::{Error, Filter, Projection, Related, ResourceType, Selection};
use uuid::Uuid;

use super::cursor::Place;
use crate::http::answer::Refusal;
use crate::scim::context::Context;
use crate::scim::kind::Kind;
use crate::scim::read;

/// What is asked for, but for the place of the page.
pub(super) struct Wanted {
    pub(super) projection: Projection,
    pub(super) filter: Option<Filter>,
    pub(super) sort: Option<Sort>,
}

/// A page as it is shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) resources: Vec<Value>,
    /// How many there are in all.
    pub(super) total: i64,
    /// Where the next page begins, if it was asked for by cursor and there is one.
    pub(super) next: Option<Place>,
}

/// The resources of one kind that a query selects.
pub(super) struct Part<'a> {
    context: &'a Context,
    projection: &'a Projection,
    kind: Kind,
    /// `None` if the query can select none of them.
    list: Option<List>,
}

/// The parts of a query over these kinds.
///
/// # Errors
/// 400 for a filter or an order that makes no sense.
pub(super) fn parts<'a>(
    context: &'a Context,
    kinds: &[Kind],
    wanted: &'a Wanted,
) -> Result<Vec<Part<'a>>, Error> {
    kinds.iter().map(|kind| part(context, *kind, kinds.len() == 1, wanted)).collect()
}

fn part<'a>(context: &'a Context, kind: Kind, is_alone: bool, wanted: &'a Wanted) -> Result<Part<'a>, Error> {
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
    // Beside a type that has the attribute, one that does not stays in the order of ids.
    let has = |of: &ResourceType, sort: &Sort| of.resolve(sort.by.as_str()).is_some();
    let is_absent = |sort: &Sort| !is_alone && !has(own, sort) && types.iter().any(|other| has(other, sort));
    let sort = wanted.sort.as_ref().filter(|sort| !is_absent(sort));
    let list = Some(List::new(context.tenant.id, own, &context.base, filter, sort)?);
    Ok(Part { context, projection: &wanted.projection, kind, list })
}

/// The page at this position, counted from 0.
///
/// # Errors
/// 400 `tooMany`, 429 while Postgres is away.
pub(super) async fn by_index(parts: &[Part<'_>], offset: i64, count: i64) -> Result<Shown, Refusal> {
    let (mut shown, mut offset, mut count) = (Shown::default(), offset, count);
    for part in parts {
        let page = part.show(Slice::Index { offset, count }, &mut shown).await?;
        offset = offset.saturating_sub(page.total).max(0);
        count -= page.length;
    }
    Ok(shown)
}

/// The page that begins at this place; its count is at least 1. The total is counted for the first page alone, since counting
/// reads the whole list; later pages repeat it from their cursor.
///
/// # Errors
/// 400 `tooMany`, 429 while Postgres is away.
pub(super) async fn by_cursor(parts: &[Part<'_>], from: Place, count: i64) -> Result<Shown, Refusal> {
    const TOTAL_ALONE: Slice = Slice::Index { offset: 0, count: 0 };
    let (mut shown, mut count) = (Shown::default(), count);
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

/// What is known of a part's page after it has been shown.
struct Told {
    total: i64,
    length: i64,
    last: Option<Mark>,
    has_more: bool,
}

/// What was computed for a page's resources.
type Relations = HashMap<Uuid, Vec<Related>>;

impl Part<'_> {
    async fn show(&self, slice: Slice, shown: &mut Shown) -> Result<Told, Refusal> {
        let Some(list) = &self.list else {
            return Ok(Told { total: 0, length: 0, last: None, has_more: false });
        };
        let (kind, types) = (self.kind, &self.context.tenant.types);
        let with_related = read::shows(self.projection, kind, types);
        let read = read_page(&self.context.app.pool, list, slice, kind, with_related).await;
        let (page, mut related) = read.map_err(|error| Refusal::unread(&error))?;
        let total = page.total.unwrap_or_default();
        let told = Told {
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
        Ok(told)
    }
}

/// A page, and what is computed for it: a group and its members are of one moment.
async fn read_page(
    pool: &Pool,
    list: &List,
    slice: Slice,
    kind: Kind,
    with_related: bool,
) -> Result<(Page, Relations), postgres::Error> {
    let read = async |c: &mut AsyncPgConnection| {
        let mut page = list.page(c, slice).await?;
        let mut ids: Vec<Uuid> = page.records.iter().map(|record| record.id).collect();
        if !with_related || ids.is_empty() {
            return Ok((page, HashMap::new()));
        }
        if kind == Kind::Group {
            // A page may be shorter than was asked for (RFC 7644 §3.4.2.4); itemsPerPage tells.
            let shown = read::shown_together(c, &ids).await?;
            page.shorten(shown);
            ids.truncate(shown);
        }
        let related = read::computed(c, kind, &ids).await?;
        Ok((page, related))
    };
    if with_related && kind == Kind::Group {
        pool.bounded(async |c| c.build_transaction().repeatable_read().read_only().run(read).await).await
    } else {
        pool.bounded(read).await
    }
}

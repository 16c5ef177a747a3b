//! Rows without end: a page is read, written, and forgotten before the next one is read. A slow reader holds no connection.
//!
//! Before it: a report, or the activity log. After it: the client, which sees the first rows while the last ones are not read.

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use shared::postgres::reports::{Paged, Row, goes_on};
use shared::postgres::{Error, Pool};
use shared::report::Format;
use shared::retry::Delays;
use shared::scim;
use tracing::warn;

use super::answer::{Answer, Refusal};
use super::query::Query;
use crate::gate::Place;

/// How often a page that cannot be read is tried again, once the answer has begun.
const TRIES: u32 = 5;

/// The form that the client wants: the parameter `format`, else the header `Accept`, else JSON.
///
/// # Errors
/// 400 for a form that there is not.
pub fn format(query: &Query, headers: &HeaderMap) -> Result<Format, scim::Error> {
    let accepts_csv = headers
        .get_all(ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/csv")));
    match query.get("format")? {
        Some("csv") => Ok(Format::Csv),
        Some("json") => Ok(Format::Json),
        Some(_) => Err(scim::Error::invalid_value("the parameter format must be json or csv")),
        None if accepts_csv => Ok(Format::Csv),
        None => Ok(Format::Json),
    }
}

/// What is still to be written.
struct Rest<P> {
    pool: Pool,
    what: P,
    format: Format,
    page: Option<Vec<Row>>,
    written: usize,
    /// The request is in hand until its last row is written.
    _place: Place,
}

/// Answers with all rows, in the order of their key. `name` is what a browser calls the file.
///
/// # Errors
/// 429 if the first page cannot be read.
pub async fn answer<P: Paged + 'static>(
    pool: &Pool,
    place: Place,
    name: &str,
    what: P,
    format: Format,
) -> Answer {
    let first = read(pool, &what, None).await.map_err(|error| Refusal::unread(&error))?;
    let rest = Rest { pool: pool.clone(), what, format, page: Some(first), written: 0, _place: place };
    Ok(response(name, format, Body::from_stream(stream::try_unfold(Some(rest), write))))
}

fn response(name: &str, format: Format, body: Body) -> Response {
    let (media_type, ending) = match format {
        Format::Json => ("application/json", "json"),
        Format::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if format == Format::Csv
        && let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}.{ending}\""))
    {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    response
}

async fn read<P: Paged>(pool: &Pool, what: &P, after: Option<&str>) -> Result<Vec<Row>, Error> {
    pool.bounded(async |connection| what.page(connection, after).await).await
}

/// The next piece: a page of rows. What follows it is read when the piece is gone.
async fn write<P: Paged>(rest: Option<Rest<P>>) -> Result<Option<(Bytes, Option<Rest<P>>)>, Error> {
    let Some(mut rest) = rest else { return Ok(None) };
    let columns = rest.what.columns();
    let mut text = if rest.written == 0 { rest.format.begin(columns) } else { String::new() };
    let page = rest.page.take().unwrap_or_default();
    for row in &page {
        text.push_str(&rest.format.row(columns, rest.written, &row.object));
        rest.written += 1;
    }
    let Some(last) = goes_on(&page) else {
        text.push_str(rest.format.end());
        return Ok(Some((text.into(), None)));
    };
    rest.page = Some(read_again(&rest, last).await?);
    Ok(Some((text.into(), Some(rest))))
}

/// A page in the middle: to break off would cost the client all that it has. If it must be, the client sees it: the connection
/// breaks before the end of the body.
async fn read_again<P: Paged>(rest: &Rest<P>, after: &str) -> Result<Vec<Row>, Error> {
    let mut delays = Delays::reconnect();
    let mut tries = 1;
    loop {
        match read(&rest.pool, &rest.what, Some(after)).await {
            Err(error) if tries < TRIES && error.is_transient() => {
                tries += 1;
                delays.pause().await;
            }
            Err(error) => {
                warn!(%error, rows = rest.written, "rows could not be read to their end");
                return Err(error);
            }
            page => return page,
        }
    }
}

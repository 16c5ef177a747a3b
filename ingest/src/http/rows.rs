//! Streams rows page by page with bounded memory: a page is sent before the page after the next one is read. A slow
//! client holds no database connection, but its permits until it has read the last row.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use database::reports::{PAGE_BYTES, Paged, ReportRow, goes_on};
use database::{Error, Limits, Pool};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use domain::report::Format;
use futures_util::stream;
use platform::retry::Delays;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use tracing::{info, warn};

use super::query::Query;
use super::response::{HandlerResult, Refusal};
use super::sent;

/// The attempts to read a page once the response has begun.
const TRIES: u32 = 5;
/// How long to wait for the permit to read a page.
const PERMIT_WAIT: Duration = Duration::from_secs(5);
/// The time limit for reading a page. It is longer than for SCIM reads, since a total reads all rows.
const PAGE: Duration = Duration::from_secs(30);
/// How long a client may take to receive a page before the response is aborted.
const STALLED: Duration = Duration::from_secs(60);

/// The memory that a response holds while its client does not read, in bytes: a page that is being sent, one that waits,
/// and one that was read.
pub const HELD_BYTES: usize = 3 * PAGE_BYTES;

/// The requested format: the parameter `format`, else the header `Accept`, else JSON.
///
/// # Errors
/// 400 for an unknown format.
pub fn format(query: &Query, headers: &HeaderMap) -> Result<Format, scim::Error> {
    match query.get("format")? {
        Some("csv") => Ok(Format::Csv),
        Some("json") => Ok(Format::Json),
        Some("jsonl") => Ok(Format::JsonLines),
        Some(_) => Err(scim::Error::invalid_value("the parameter format must be json, jsonl or csv")),
        None if prefers_csv(headers) => Ok(Format::Csv),
        None => Ok(Format::Json),
    }
}

/// Whether `Accept` names CSV with a higher weight than JSON (RFC 9110 §12.5.1).
fn prefers_csv(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let ranges: Vec<&str> = given.flat_map(|accept| accept.split(',')).collect();
    let weight = |wanted: &str| {
        let mut named = ranges.iter().filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case(wanted));
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            is_named.then(|| weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or_default()))
        });
        named.next().unwrap_or_default()
    };
    weight("text/csv") > weight("application/json")
}

/// A part of the response body.
struct Piece {
    text: Bytes,
    is_last: bool,
}

/// Reads rows by the page. Clones share its permits.
#[derive(Clone)]
pub struct RowReader {
    pool: Pool,
    pages: Arc<Semaphore>,
}

impl RowReader {
    /// Reads a page for each permit, and leaves the other connections to SCIM.
    #[must_use]
    pub fn new(pool: Pool, pages: Arc<Semaphore>) -> Self {
        Self { pool, pages }
    }

    /// Answers with all rows, in the order of their key. `name` is the file name for a browser. The `permits` are held
    /// until the last row is sent.
    ///
    /// # Errors
    /// 429 if the first page cannot be read.
    pub async fn respond<P: Paged + 'static>(
        &self,
        permits: impl Clone + Send + Sync + 'static,
        name: &str,
        what: P,
        format: Format,
    ) -> HandlerResult {
        let first = self.read(&what, None).await.map_err(|error| Refusal::unread(&error))?;
        let (sender, pieces) = channel(1);
        sent::hold(permits.clone());
        tokio::spawn(write(self.clone(), permits, what, format, first, sender));
        Ok(response(name, format, Body::from_stream(stream::try_unfold(Some(pieces), next))))
    }

    /// Reads a page as soon as there is a permit.
    async fn read<P: Paged>(&self, what: &P, after: Option<&str>) -> Result<Vec<ReportRow>, Error> {
        let permit = timeout(PERMIT_WAIT, self.pages.acquire()).await;
        let _permit = permit.map_err(|_| Error::Unavailable("too many reports are being read".to_owned()))?;
        self.pool
            .within(PAGE, async |connection| {
                let page = connection.transaction(async |connection: &mut AsyncPgConnection| {
                    connection
                        .batch_execute(&Limits { statement: PAGE, ..Limits::SERVICE }.of_transaction())
                        .await?;
                    what.page(connection, after).await
                });
                page.await
            })
            .await
    }

    /// Reads a page in the middle, with retries: the client would lose all that it has.
    async fn read_again<P: Paged>(&self, what: &P, after: &str) -> Result<Vec<ReportRow>, Error> {
        let mut delays = Delays::reconnect();
        let mut tries = 1;
        loop {
            match self.read(what, Some(after)).await {
                Err(error) if tries < TRIES && error.is_transient() => {
                    tries += 1;
                    delays.pause().await;
                }
                page => return page,
            }
        }
    }
}

/// The next piece. If the last piece is missing, the connection is aborted, so that the client sees that the response
/// is incomplete.
async fn next(pieces: Option<Receiver<Piece>>) -> Result<Option<(Bytes, Option<Receiver<Piece>>)>, Error> {
    let Some(mut pieces) = pieces else { return Ok(None) };
    match pieces.recv().await {
        Some(Piece { text, is_last }) => Ok(Some((text, (!is_last).then_some(pieces)))),
        None => Err(Error::Unavailable("the rows are incomplete".to_owned())),
    }
}

fn response(name: &str, format: Format, body: Body) -> Response {
    let (media_type, ending) = match format {
        Format::Json => ("application/json", "json"),
        Format::JsonLines => ("application/jsonl", "jsonl"),
        Format::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    if format == Format::Csv
        && let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}.{ending}\""))
    {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// Writes the pages as the client receives them. The request holds its permits until the end.
async fn write<P: Paged>(
    reader: RowReader,
    _permits: impl Send,
    what: P,
    format: Format,
    mut page: Vec<ReportRow>,
    sender: Sender<Piece>,
) {
    let columns = what.columns();
    let (mut text, mut written) = (format.begin(columns), 0);
    loop {
        for row in &page {
            text.push_str(&format.row(columns, written, &row.object));
            written += 1;
        }
        let after = goes_on(&page).map(str::to_owned);
        if after.is_none() {
            text.push_str(format.end());
        }
        let piece = Piece { text: std::mem::take(&mut text).into(), is_last: after.is_none() };
        match timeout(STALLED, sender.send(piece)).await {
            Ok(Ok(())) => {}
            // The client disconnected.
            Ok(Err(_)) => return,
            Err(_) => {
                return info!(rows = written, "a client stopped reading rows; response aborted");
            }
        }
        let Some(after) = after else { return };
        page = match reader.read_again(&what, &after).await {
            Ok(page) => page,
            Err(error) => return warn!(%error, rows = written, "failed to read all rows; response aborted"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_sent_if_it_is_preferred() {
        for (accept, is_csv) in [
            ("*/*", false),
            ("text/csv", true),
            ("Text/CSV; header=present", true),
            ("text/csv;q=0", false),
            ("application/json, text/csv;q=0.5", false),
            ("application/json;q=0.1, text/csv; q=0.5", true),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(prefers_csv(&headers), is_csv, "{accept}");
        }
    }
}

//! Rows without end: a page is read, written, and forgotten before the one after the next is read. A slow reader holds no connection.
//!
//! Before it: a report, or the activity log. After it: the client, which sees the first rows while the last ones are not read.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::stream;
use shared::postgres::reports::{Paged, Row, goes_on};
use shared::postgres::{Error, Limits};
use shared::report::Format;
use shared::retry::Delays;
use shared::scim;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use tracing::{info, warn};

use super::answer::{Answer, Refusal};
use super::query::Query;
use crate::app::Shared;
use crate::gate::Place;

/// How often a page that cannot be read is tried again, once the answer has begun.
const TRIES: u32 = 5;
/// How long to wait for the turn to read a page.
const TURN: Duration = Duration::from_secs(5);
/// How long a page may be read: longer than what somebody waits for at a SCIM client, since a total goes over all rows.
const PAGE: Duration = Duration::from_secs(30);
/// How long a client may take for a page, until its answer is broken off.
const STALLED: Duration = Duration::from_secs(60);

/// The form that the client wants: the parameter `format`, else the header `Accept`, else JSON.
///
/// # Errors
/// 400 for a form that there is not.
pub fn format(query: &Query, headers: &HeaderMap) -> Result<Format, scim::Error> {
    match query.get("format")? {
        Some("csv") => Ok(Format::Csv),
        Some("json") => Ok(Format::Json),
        Some(_) => Err(scim::Error::invalid_value("the parameter format must be json or csv")),
        None if prefers_csv(headers) => Ok(Format::Csv),
        None => Ok(Format::Json),
    }
}

/// Whether CSV is asked for by name, and more than JSON is (RFC 9110 §12.5.1).
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

/// A part of the answer, ready to be sent.
struct Piece {
    text: Bytes,
    is_last: bool,
}

/// Answers with all rows, in the order of their key. `name` is what a browser calls the file.
///
/// # Errors
/// 429 if the first page cannot be read.
pub async fn answer<P: Paged + 'static>(
    app: &Shared,
    place: Place,
    name: &str,
    what: P,
    format: Format,
) -> Answer {
    let first = read(app, &what, None).await.map_err(|error| Refusal::unread(&error))?;
    let (sender, pieces) = channel(1);
    tokio::spawn(write(app.clone(), place, what, format, first, sender));
    Ok(response(name, format, Body::from_stream(stream::try_unfold(Some(pieces), next))))
}

/// The next piece. Where they end before the last one the connection breaks, so that nobody takes the answer for whole.
async fn next(pieces: Option<Receiver<Piece>>) -> Result<Option<(Bytes, Option<Receiver<Piece>>)>, Error> {
    let Some(mut pieces) = pieces else { return Ok(None) };
    match pieces.recv().await {
        Some(Piece { text, is_last }) => Ok(Some((text, (!is_last).then_some(pieces)))),
        None => Err(Error::Unavailable("the rows broke off".to_owned())),
    }
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

/// Reads a page when its turn comes: reports take but some of the connections, and leave the others to whoever waits for SCIM.
async fn read<P: Paged>(app: &Shared, what: &P, after: Option<&str>) -> Result<Vec<Row>, Error> {
    let turn = timeout(TURN, app.pages.acquire()).await;
    let _turn = turn.map_err(|_| Error::Unavailable("too many reports are being read".to_owned()))?;
    app.pool
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

/// Writes one page after the other while the client takes them. The request is in hand, and has its place, until then.
async fn write<P: Paged>(
    app: Shared,
    _place: Place,
    what: P,
    format: Format,
    mut page: Vec<Row>,
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
            // It hung up.
            Ok(Err(_)) => return,
            Err(_) => {
                return info!(rows = written, "a client stopped reading rows: its answer is broken off");
            }
        }
        let Some(after) = after else { return };
        page = match read_again(&app, &what, &after).await {
            Ok(page) => page,
            Err(error) => return warn!(%error, rows = written, "rows could not be read to their end"),
        };
    }
}

/// A page in the middle: to break off would cost the client all that it has.
async fn read_again<P: Paged>(app: &Shared, what: &P, after: &str) -> Result<Vec<Row>, Error> {
    let mut delays = Delays::reconnect();
    let mut tries = 1;
    loop {
        match read(app, what, Some(after)).await {
            Err(error) if tries < TRIES && error.is_transient() => {
                tries += 1;
                delays.pause().await;
            }
            page => return page,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_for_those_who_prefer_it() {
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

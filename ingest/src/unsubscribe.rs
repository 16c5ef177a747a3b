//! `/unsubscribe/{token}`: a person wants no more mail about assignments, or wants it again (RFC 8058).
//!
//! Before it: a mail program that posts by itself, or a person who follows the link and is asked. After it: the table
//! `unsubscribed`, which the notifier reads. The token is all that identifies: who holds it, got the mail.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::postgres::schema::{unsubscribed, users};
use shared::scim::Error;
use uuid::Uuid;

use crate::app::Shared;
use crate::http::answer::{Answer, Refusal};

/// The body by which a person takes it back, as our own page sends it.
const AGAIN: &[u8] = b"again=yes";

/// Asks: to look at a link changes nothing, since scanners of mail look at every one.
///
/// # Errors
/// 404 for a token that we did not make.
pub async fn ask(State(app): State<Shared>, Path(token): Path<String>) -> Answer {
    who(&app, &token)?;
    Ok(page("Stop mail about new assignments?", "no=more", "No more of it"))
}

/// Takes the word: whatever the body is, it is no more, unless it is our own page's `again=yes`.
///
/// # Errors
/// 404 for a token that we did not make, 429 while it cannot be written down.
pub async fn take(State(app): State<Shared>, Path(token): Path<String>, body: Bytes) -> Answer {
    let (tenant, user) = who(&app, &token)?;
    let again = *body == *AGAIN;
    let write = async |connection: &mut AsyncPgConnection| write(connection, tenant, user, again).await;
    app.pool.bounded(write).await.map_err(|error| Refusal::not_noted(&error))?;
    Ok(if again {
        page("You get mail about new assignments again.", "no=more", "No more of it")
    } else {
        page("You get no more mail about new assignments.", "again=yes", "I want it again")
    })
}

fn who(app: &Shared, token: &str) -> Result<(Uuid, Uuid), Error> {
    let key = app.config.unsubscribe_key.as_ref();
    key.and_then(|key| key.read(token))
        .ok_or_else(|| Error::not_found("this link is not, or no more, one of ours"))
}

async fn write(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    user: Uuid,
    again: bool,
) -> Result<(), shared::postgres::Error> {
    let own = unsubscribed::table.find((tenant, user));
    if again {
        diesel::delete(own).execute(connection).await?;
        return Ok(());
    }
    // Whoever has been deleted since has nothing to stop.
    let there = users::table
        .filter(users::tenant_id.eq(tenant).and(users::id.eq(user)))
        .select((users::tenant_id, users::id));
    diesel::insert_into(unsubscribed::table)
        .values(there)
        .into_columns((unsubscribed::tenant_id, unsubscribed::user_id))
        .on_conflict_do_nothing()
        .execute(connection)
        .await?;
    Ok(())
}

/// A page with one button.
fn page(says: &str, field: &str, button: &str) -> axum::response::Response {
    let (name, value) = field.split_once('=').unwrap_or((field, ""));
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><meta name=\"color-scheme\" content=\"light dark\"><title>{says}</title>\
         <body style=\"font:18px/1.5 sans-serif;max-width:30em;margin:4em auto;padding:0 1em\"><p>{says}</p>\
         <form method=\"post\"><button name=\"{name}\" value=\"{value}\" style=\"font:inherit;padding:.5em 1em\">{button}</button></form>"
    );
    ([("cache-control", "no-store"), ("referrer-policy", "no-referrer")], Html(page)).into_response()
}

//! `/unsubscribe/{token}`: unsubscribes a user from mail about assignments, or resubscribes them (one-click
//! unsubscribe, RFC 8058). Writes the table `unsubscribed`, which the notifier reads. The token from the mail is the
//! only credential.

use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use database::schema::{tenants, unsubscribed, users};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::settings::{Locale, Settings};
use serde_json::Value;
use uuid::Uuid;

use crate::app::Shared;
use crate::http::body;
use crate::http::response::{HandlerResult, Refusal};

/// The headers of the pages. Nothing is loaded and nothing runs, the form goes to this server only, and no other site
/// can show a page in a frame to steal the click. The pages' own styles are attributes.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The request body that resubscribes; our own page sends it.
const AGAIN: &[u8] = b"again=yes";

/// Shows a confirmation page. A GET changes nothing, since mail scanners follow every link. A forged link is a 404.
pub async fn ask(State(app): State<Shared>, Path(token): Path<String>) -> Response {
    let Some((tenant, user)) = who(&app, &token) else { return nobodys() };
    Reader::of(&app, tenant, user).await.page(Says::Ask)
}

/// Unsubscribes, or resubscribes if the body is `again=yes`. Any other body is not read. A forged link is a 404.
///
/// # Errors
/// 408 for a slow body, 400 for an incomplete one, 429 while Postgres is unavailable.
pub async fn change(State(app): State<Shared>, Path(token): Path<String>, request: Request) -> HandlerResult {
    let Some((tenant, user)) = who(&app, &token) else { return Ok(nobodys()) };
    let again = body::is(request.into_body(), AGAIN).await?;
    let write = async |connection: &mut AsyncPgConnection| write(connection, tenant, user, again).await;
    app.pool.bounded(write).await.map_err(|error| Refusal::not_recorded(&error))?;
    Ok(Reader::of(&app, tenant, user).await.page(if again { Says::Started } else { Says::Stopped }))
}

fn who(app: &Shared, token: &str) -> Option<(Uuid, Uuid)> {
    app.config.unsubscribe_key.as_ref()?.read(token)
}

async fn write(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    user: Uuid,
    again: bool,
) -> Result<(), database::Error> {
    let own = unsubscribed::table.find((tenant, user));
    if again {
        diesel::delete(own).execute(connection).await?;
        return Ok(());
    }
    // Deleted users get no row.
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

/// The language and the branding of a page.
#[derive(Default)]
struct Reader {
    locale: Locale,
    brand: Option<String>,
    colour: Option<String>,
}

/// The kind of page.
#[derive(Clone, Copy)]
enum Says {
    Ask,
    Stopped,
    Started,
}

impl Reader {
    /// As in mail to the user. If the user does not exist or Postgres is unavailable, the page is in English without
    /// branding.
    async fn of(app: &Shared, tenant: Uuid, user: Uuid) -> Self {
        let read = async |connection: &mut AsyncPgConnection| {
            let settings = tenants::table.find(tenant).select(tenants::settings);
            let settings: Option<Value> = settings.first(connection).await.optional()?;
            let locale = users::table.filter(users::tenant_id.eq(tenant).and(users::id.eq(user)));
            let locale: Option<Option<String>> =
                locale.select(users::locale).first(connection).await.optional()?;
            Ok::<_, database::Error>((settings, locale.flatten()))
        };
        let (settings, locale) = app.pool.bounded(read).await.unwrap_or_default();
        let mail = settings.map(|stored| Settings::stored(tenant, &stored).mail).unwrap_or_default();
        Self {
            locale: locale.as_deref().and_then(Locale::of).unwrap_or(mail.locale),
            brand: mail.brand_name.get().map(str::to_owned),
            colour: mail.brand_colour.get().map(str::to_owned),
        }
    }

    /// A page with one button.
    fn page(&self, says: Says) -> Response {
        let [ask, stopped, started, no_more, again] = words(self.locale);
        let (text, name, value, button) = match says {
            Says::Ask => (ask, "no", "more", no_more),
            Says::Stopped => (stopped, "again", "yes", again),
            Says::Started => (started, "no", "more", no_more),
        };
        let form = format!(
            "<form method=\"post\"><button name=\"{name}\" value=\"{value}\" style=\"font:inherit;padding:.5em 1em\">{button}</button></form>"
        );
        self.html(text, &form)
    }

    fn html(&self, text: &str, form: &str) -> Response {
        let brand =
            self.brand.as_deref().map(|brand| format!("<p dir=\"auto\"><b>{}</b></p>", escaped(brand)));
        let (brand, language) = (brand.unwrap_or_default(), self.locale.as_str());
        let edge = self
            .colour
            .as_deref()
            .map(|colour| format!("border-top:4px solid {colour};"))
            .unwrap_or_default();
        let page = format!(
            "<!doctype html><html lang=\"{language}\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"robots\" content=\"noindex\"><meta name=\"color-scheme\" content=\"light dark\"><title>{text}</title>\
             <body style=\"font:18px/1.5 sans-serif;max-width:30em;margin:4em auto;padding:0 1em;overflow-wrap:anywhere;{edge}\">\
             {brand}<p>{text}</p>{form}"
        );
        (HEADERS, Html(page)).into_response()
    }
}

fn nobodys() -> Response {
    let page = Reader::default().html("This link is not valid. Use the link in a more recent mail.", "");
    (StatusCode::NOT_FOUND, page).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The texts of the three pages, and the labels of the two buttons.
fn words(locale: Locale) -> [&'static str; 5] {
    match locale {
        Locale::En => [
            "Unsubscribe from mail about new assignments?",
            "You're unsubscribed. You won't receive any more mail about new assignments.",
            "You're subscribed to mail about new assignments again.",
            "Unsubscribe",
            "Resubscribe",
        ],
        Locale::De => [
            "E-Mails über neue Zuweisungen abbestellen?",
            "Abgemeldet. Sie erhalten keine E-Mails mehr über neue Zuweisungen.",
            "Sie erhalten wieder E-Mails über neue Zuweisungen.",
            "Abbestellen",
            "Wieder abonnieren",
        ],
        Locale::Fr => [
            "Ne plus recevoir de messages sur les nouvelles attributions ?",
            "Vous êtes désabonné(e). Vous ne recevrez plus de messages sur les nouvelles attributions.",
            "Vous recevrez de nouveau des messages sur les nouvelles attributions.",
            "Se désabonner",
            "Se réabonner",
        ],
        Locale::Es => [
            "¿Dejar de recibir mensajes sobre nuevas asignaciones?",
            "Suscripción cancelada. Ya no recibirá mensajes sobre nuevas asignaciones.",
            "Volverá a recibir mensajes sobre nuevas asignaciones.",
            "Cancelar la suscripción",
            "Volver a suscribirme",
        ],
    }
}

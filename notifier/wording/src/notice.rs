//! The notice to a tenant's contact that an API key expires: plain text in the tenant's language. Templates do not
//! change it, since it is about Rollcall, not about learning.

use domain::settings::Locale;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// What a notice says.
#[derive(Clone, Copy, Debug)]
pub struct KeyNotice<'a> {
    /// The tenant's name.
    pub tenant: &'a str,
    /// The key's public part.
    pub prefix: &'a str,
    /// Its scopes.
    pub scopes: &'a [String],
    /// When it expires.
    pub expires_at: OffsetDateTime,
    /// When it was used last.
    pub last_used_at: Option<OffsetDateTime>,
}

/// A notice in one language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeWords {
    /// The subject, a single line.
    pub subject: String,
    /// The plain text.
    pub text: String,
}

impl KeyNotice<'_> {
    /// The notice in a language.
    #[must_use]
    pub fn words(&self, locale: Locale) -> NoticeWords {
        let Self { tenant, prefix, .. } = self;
        let (end, scopes) = (moment(self.expires_at), self.scopes.join(", "));
        let used = self.last_used_at.map(moment);
        let used = used.as_deref();
        let (subject, text) = match locale {
            Locale::En => (
                format!("The API key {prefix} expires on {end}"),
                format!(
                    "An API key of {tenant} expires. From then on, requests with it are refused, and changes of \
                     accounts are no longer applied.\n\n\
                     Key: {prefix}…\nScopes: {scopes}\nExpires: {end}\nLast used: {}\n\n\
                     Ask the operator of Rollcall for a new key, enter it where the old one is used, and have the \
                     old one revoked.\n",
                    used.unwrap_or("never")
                ),
            ),
            Locale::De => (
                format!("Der API-Schlüssel {prefix} läuft am {end} ab"),
                format!(
                    "Ein API-Schlüssel von {tenant} läuft ab. Danach werden Anfragen mit ihm abgelehnt, und \
                     Änderungen an Konten werden nicht mehr übernommen.\n\n\
                     Schlüssel: {prefix}…\nBereiche: {scopes}\nLäuft ab: {end}\nZuletzt benutzt: {}\n\n\
                     Lassen Sie sich vom Betreiber von Rollcall einen neuen Schlüssel geben, tragen Sie ihn überall \
                     ein, wo der alte benutzt wird, und lassen Sie den alten sperren.\n",
                    used.unwrap_or("nie")
                ),
            ),
            Locale::Fr => (
                format!("La clé d'API {prefix} expire le {end}"),
                format!(
                    "Une clé d'API de {tenant} expire. Ensuite, les requêtes qui l'utilisent seront refusées et les \
                     modifications de comptes ne seront plus appliquées.\n\n\
                     Clé : {prefix}…\nDroits : {scopes}\nExpire : {end}\nDernière utilisation : {}\n\n\
                     Demandez une nouvelle clé à l'exploitant de Rollcall, saisissez-la partout où l'ancienne est \
                     utilisée, puis faites révoquer l'ancienne.\n",
                    used.unwrap_or("jamais")
                ),
            ),
            Locale::Es => (
                format!("La clave de API {prefix} caduca el {end}"),
                format!(
                    "Una clave de API de {tenant} caduca. A partir de entonces se rechazarán las peticiones que la \
                     usen y no se aplicarán los cambios de cuentas.\n\n\
                     Clave: {prefix}…\nPermisos: {scopes}\nCaduca: {end}\nÚltimo uso: {}\n\n\
                     Pida una clave nueva a quien opera Rollcall, introdúzcala donde se usa la antigua y haga \
                     revocar la antigua.\n",
                    used.unwrap_or("nunca")
                ),
            ),
        };
        NoticeWords { subject, text }
    }
}

/// A time in UTC, the same in every language.
fn moment(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    // Times in the database are within the calendar.
    at.checked_to_offset(UtcOffset::UTC).and_then(|at| at.format(format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn every_language_names_the_key_and_its_end() {
        let notice = KeyNotice {
            tenant: "acme",
            prefix: "4TOU1W0wZI8r",
            scopes: &["events".to_owned(), "scim".to_owned()],
            expires_at: datetime!(2027-01-31 05:58:10 UTC),
            last_used_at: None,
        };
        for locale in Locale::ALL {
            let NoticeWords { subject, text } = notice.words(locale);
            assert!(
                subject.contains("4TOU1W0wZI8r") && subject.contains("2027-01-31 05:58 UTC"),
                "{subject}"
            );
            assert!(!subject.contains('\n'), "{subject}");
            for word in ["acme", "4TOU1W0wZI8r", "2027-01-31 05:58 UTC", "events, scim"] {
                assert!(text.contains(word), "{locale:?}: {text}");
            }
        }
        let used = KeyNotice { last_used_at: Some(datetime!(2026-12-31 23:59 UTC)), ..notice };
        assert!(used.words(Locale::En).text.contains("Last used: 2026-12-31 23:59 UTC"));
    }
}

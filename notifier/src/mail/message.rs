//! Builds the MIME message of a mail: addresses, headers, both bodies. Everything comes from the ledger row, so that
//! every attempt sends the same mail.

use std::time::SystemTime;

use domain::settings::{self, Settings};
use domain::unsubscribe::Key;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;
use wording::line::one_line;
use wording::{KeyNotice, Kind, Letter, Templates, templates};

use super::dkim::Signer;
use super::server::is_loopback;
use crate::store::key_mails::LeasedNotice;
use crate::store::mail_content::MailContent;
use crate::store::queue::{LeasedMail, Person};

/// The maximum length of a display name, in characters.
const MAX_NAME: usize = 200;

/// A mail that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    /// A file name without personal data, the same for every attempt.
    pub file_name: String,
    /// The message.
    pub message: Message,
}

/// Why no mail can be built from a leased row.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's address is invalid.
    #[error("the address is not a valid mail address")]
    Address(#[source] lettre::address::AddressError),
    /// The tenant's sender or reply-to address is invalid.
    #[error("the tenant's sender or reply-to is not a valid mail address")]
    Sender(#[source] lettre::address::AddressError),
    /// The kind is unknown; another version of this program wrote it.
    #[error("unknown kind of mail")]
    Kind,
    /// The context is invalid; another version of this program wrote it.
    #[error("the context in the ledger row is invalid")]
    Context(#[source] serde_json::Error),
    /// The templates could not be rendered.
    #[error("the mail could not be rendered")]
    Words(#[from] templates::Error),
    /// lettre rejects the message.
    #[error("the message could not be built")]
    Message(#[from] lettre::error::Error),
}

impl Error {
    /// Whether the row itself is invalid. Other errors can be fixed by a template, a setting, or another version of
    /// this program.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Address(_) | Self::Words(templates::Error::Incomplete))
    }

    /// The reason stored in the ledger.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "the address is not a valid mail address",
            Self::Sender(_) => "the tenant's sender or reply-to is not a valid mail address",
            Self::Kind => "unknown kind of mail",
            Self::Context(_) => "the context in the ledger row is invalid",
            Self::Words(templates::Error::Incomplete) => "the ledger row lists no assignment",
            Self::Words(templates::Error::Template(_)) => "the mail's template could not be rendered",
            Self::Message(_) => "the message could not be built",
        }
    }
}

/// What a mail is built from, besides its kind.
pub struct Draft<'a> {
    /// The id of the ledger row.
    pub id: Uuid,
    /// The original due time, used as the Date header.
    pub dated_at: OffsetDateTime,
    /// The tenant's id.
    pub tenant_id: Uuid,
    /// The user's SCIM id.
    pub user: Uuid,
    /// The tenant's name.
    pub tenant: &'a str,
    /// The tenant's mail settings.
    pub mail: &'a settings::Mail,
    /// The recipient.
    pub person: &'a Person,
    /// The content of the mail.
    pub said: &'a MailContent,
}

/// Builds mail from the templates and the default sender.
#[derive(Debug)]
pub struct Writer {
    from: Mailbox,
    learning_url: String,
    templates: Templates,
    signer: Option<Signer>,
    unsubscribe: Option<(Key, String)>,
}

impl Writer {
    /// Creates a writer with the default sender and learning platform URL; tenants' settings take precedence.
    #[must_use]
    pub fn new(
        from: Mailbox,
        learning_url: String,
        templates: Templates,
        signer: Option<Signer>,
        unsubscribe: Option<(Key, String)>,
    ) -> Self {
        Self { from, learning_url, templates, signer, unsubscribe }
    }

    /// Builds the mail of a leased row.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn write(&self, leased: &LeasedMail) -> Result<Mail, Error> {
        let kind = Kind::stored(&leased.kind).ok_or(Error::Kind)?;
        let said: MailContent = serde_json::from_value(leased.context.clone()).map_err(Error::Context)?;
        let settings = Settings::stored(leased.tenant_id, &leased.settings);
        let draft = Draft {
            id: leased.id,
            dated_at: leased.dated_at,
            tenant_id: leased.tenant_id,
            user: leased.user_id,
            tenant: &leased.tenant,
            mail: &settings.mail,
            person: &leased.person(),
            said: &said,
        };
        self.compose(kind, &draft)
    }

    /// Builds a mail.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn compose(&self, kind: Kind, draft: &Draft<'_>) -> Result<Mail, Error> {
        let Draft { id, dated_at, mail, person, said, .. } = *draft;
        let to = recipient(&person.email).map_err(Error::Address)?;
        let unsubscribe_url = self.unsubscribe_url(kind, draft);
        let words = self.templates.words(&Letter {
            kind,
            tenant: draft.tenant,
            mail,
            learning_url: &self.learning_url,
            locale: person.locale.as_deref(),
            timezone: person.timezone.as_deref(),
            given_name: &person.given_name,
            user_name: &person.user_name,
            items: &said.items(),
            unsubscribe_url: unsubscribe_url.as_deref(),
        })?;
        // RFC 3834 §5: prevents automatic responses.
        let automatic = raw("Auto-Submitted", "auto-generated");
        let language = raw("Content-Language", words.locale.as_str());
        let parts = MultiPart::alternative()
            // lettre's default boundary differs between attempts.
            .boundary(format!("=_{}", id.simple()))
            .singlepart(SinglePart::plain(words.text))
            .singlepart(SinglePart::html(words.html));
        let from = self.sender(mail)?;
        let from_domain = from.email.domain().to_owned();
        let mut builder = Message::builder()
            .from(from)
            .to(Mailbox::new(display_name(person), to))
            .subject(words.subject)
            .date(SystemTime::from(dated_at))
            // Always our own domain, because a tenant may change its sender between two attempts.
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(automatic)
            .raw_header(language);
        if let Some((name, address)) = mail.mail_reply_to.parts() {
            builder = builder.reply_to(mailbox(name, address)?);
        }
        if let Some(url) = unsubscribe_url {
            builder = builder.raw_header(raw("List-Unsubscribe", &format!("<{url}>")));
            if can_be_one_click(&url) {
                builder = builder.raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
            }
        }
        let mut message = builder.multipart(parts)?;
        if let Some(signer) = &self.signer {
            signer.sign(&mut message, from_domain.as_str());
        }
        Ok(Mail { file_name: file_name(id, kind.as_str(), dated_at), message })
    }

    /// Builds the notice to the tenant's contact that a key expires; `None` if there is no contact.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn notice(&self, leased: &LeasedNotice) -> Result<Option<Mail>, Error> {
        let settings = Settings::stored(leased.tenant_id, &leased.settings);
        let Some((name, address)) = settings.contact.parts() else { return Ok(None) };
        let LeasedNotice { key_id, days, tenant, prefix, scopes, expires_at, last_used_at, dated_at, .. } =
            leased;
        let notice =
            KeyNotice { tenant, prefix, scopes, expires_at: *expires_at, last_used_at: *last_used_at };
        let words = notice.words(settings.mail.locale);
        let from = self.sender(&settings.mail)?;
        let from_domain = from.email.domain().to_owned();
        let mut message = Message::builder()
            .from(from)
            .to(mailbox(name, address)?)
            .subject(words.subject)
            .date(SystemTime::from(*dated_at))
            .message_id(Some(format!("<{key_id}.{days}@{}>", self.from.email.domain())))
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("Content-Language", settings.mail.locale.as_str()))
            .singlepart(SinglePart::plain(words.text))?;
        if let Some(signer) = &self.signer {
            signer.sign(&mut message, from_domain.as_str());
        }
        Ok(Some(Mail { file_name: file_name(*key_id, &format!("key_expiring_{days}"), *dated_at), message }))
    }

    /// The unsubscribe link, for optional kinds of mail.
    fn unsubscribe_url(&self, kind: Kind, draft: &Draft<'_>) -> Option<String> {
        let (key, base) = self.unsubscribe.as_ref()?;
        kind.is_optional().then(|| key.link(base, draft.tenant_id, draft.user))
    }

    /// The tenant's sender; without one, our own address with the brand's name if there is one.
    fn sender(&self, mail: &settings::Mail) -> Result<Mailbox, Error> {
        match mail.mail_sender.parts() {
            Some((name, address)) => mailbox(name.or(mail.brand_name.get()), address),
            None => {
                let brand = mail.brand_name.get().map(|name| one_line(name, MAX_NAME));
                let name = brand.or_else(|| self.from.name.clone());
                Ok(Mailbox::new(name, self.from.email.clone()))
            }
        }
    }
}

/// Parses a recipient's address. An internationalized domain is converted to ASCII (IDNA), which every mail server
/// accepts.
fn recipient(email: &str) -> Result<Address, lettre::address::AddressError> {
    let email = email.trim();
    let ascii =
        email.rsplit_once('@').filter(|(_, domain)| !domain.is_ascii()).and_then(|(local, domain)| {
            let url::Host::Domain(domain) = url::Host::parse(domain).ok()? else { return None };
            Some(format!("{local}@{domain}"))
        });
    ascii.as_deref().unwrap_or(email).parse()
}

/// RFC 8058 §3.1 requires `https`; loopback URLs are exempt.
fn can_be_one_click(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url))
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn mailbox(name: Option<&str>, address: &str) -> Result<Mailbox, Error> {
    let name = name.map(|name| one_line(name, MAX_NAME)).filter(|name| !name.is_empty());
    Ok(Mailbox::new(name, address.parse().map_err(Error::Sender)?))
}

fn display_name(person: &Person) -> Option<String> {
    let name = match &person.display_name {
        Some(name) if !name.trim().is_empty() => one_line(name, MAX_NAME),
        _ => one_line(&format!("{} {}", person.given_name, person.family_name), MAX_NAME),
    };
    Some(name).filter(|name| !name.is_empty())
}

fn file_name(id: Uuid, kind: &str, dated_at: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    // Times in the ledger are within the calendar.
    let at =
        dated_at.checked_to_offset(UtcOffset::UTC).and_then(|at| at.format(format).ok()).unwrap_or_default();
    format!("{at}-{kind}-{id}.eml")
}

#[cfg(test)]
mod tests;

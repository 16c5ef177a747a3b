//! A mail as RFC 5322 has it: headers and both parts. All of it follows from the ledger's row and the roster, so that a
//! resend is the same mail. Before it: [`super::words`]; after it: [`super::transport`].

use std::time::SystemTime;

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use super::words::{self, Templates, one_line};
use crate::decide::Kind;
use crate::store::ledger::Context;
use crate::store::queue::{Claim, Person};

/// The longest name that is shown beside an address, in characters.
const MAX_NAME: usize = 200;

/// A mail, ready to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    /// A file name for it, without personal data: the same for every attempt.
    pub file_name: String,
    /// The message.
    pub message: Message,
}

/// Why a claimed row cannot be made into a mail: it never can.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The person's address.
    #[error("the address is no valid mail address")]
    Address(#[source] lettre::address::AddressError),
    /// The kind is of another version of this program.
    #[error("the kind of mail is not known")]
    Kind,
    /// The row's context is of another version of this program.
    #[error("the ledger does not say what the mail is about")]
    Context(#[source] serde_json::Error),
    /// There are no words for it.
    #[error("the mail could not be written")]
    Words(#[from] words::Error),
    /// lettre refuses it.
    #[error("the mail could not be put together")]
    Message(#[from] lettre::error::Error),
}

impl Error {
    /// The reason that goes into the ledger.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Address(_) => "the address is no valid mail address",
            Self::Kind => "the kind of mail is not known",
            Self::Context(_) => "the ledger does not say what the mail is about",
            Self::Words(words::Error::Incomplete) => "the ledger does not say what was assigned",
            Self::Words(words::Error::Template(_)) => "the mail's template could not be filled",
            Self::Message(_) => "the mail could not be put together",
        }
    }
}

/// Writes mail: the same sender, the same templates for all.
#[derive(Debug)]
pub struct Writer {
    from: Mailbox,
    templates: Templates,
}

impl Writer {
    /// A writer of mail from this sender.
    #[must_use]
    pub fn new(from: Mailbox, templates: Templates) -> Self {
        Self { from, templates }
    }

    /// Writes the mail of a claimed row.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn write(&self, claim: &Claim) -> Result<Mail, Error> {
        let kind = Kind::stored(&claim.kind).ok_or(Error::Kind)?;
        let said: Context = serde_json::from_value(claim.context.clone()).map_err(Error::Context)?;
        self.compose(claim.id, kind, claim.decided_at, &claim.person(), &said)
    }

    /// Writes a mail.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn compose(
        &self,
        id: Uuid,
        kind: Kind,
        decided_at: OffsetDateTime,
        person: &Person,
        said: &Context,
    ) -> Result<Mail, Error> {
        let to: Address = person.email.trim().parse().map_err(Error::Address)?;
        let words = self.templates.words(kind, person, said)?;
        // RFC 3834 §5: so that no auto-responder answers.
        let automatic =
            HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let parts = MultiPart::alternative()
            // lettre's own would be another one for every attempt.
            .boundary(format!("=_{}", id.simple()))
            .singlepart(SinglePart::plain(words.text))
            .singlepart(SinglePart::html(words.html));
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(display_name(person), to))
            .subject(words.subject)
            .date(SystemTime::from(decided_at))
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(automatic)
            .multipart(parts)?;
        Ok(Mail { file_name: file_name(id, kind, decided_at), message })
    }
}

fn display_name(person: &Person) -> Option<String> {
    let name = match &person.display_name {
        Some(name) if !name.trim().is_empty() => one_line(name, MAX_NAME),
        _ => one_line(&format!("{} {}", person.given_name, person.family_name), MAX_NAME),
    };
    Some(name).filter(|name| !name.is_empty())
}

fn file_name(id: Uuid, kind: Kind, decided_at: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    // The ledger's own times are all within the calendar.
    let at = decided_at
        .checked_to_offset(UtcOffset::UTC)
        .and_then(|at| at.format(format).ok())
        .unwrap_or_default();
    format!("{at}-{}-{id}.eml", kind.as_str())
}

#[cfg(test)]
mod tests;

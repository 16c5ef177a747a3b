//! The folder of `.eml` files, as parsed by a mail client.

use std::path::PathBuf;
use std::time::Duration;

use mail_parser::MessageParser;

use crate::eventually;

/// The timeout from the event to the file.
const ARRIVES: Duration = Duration::from_secs(15);

/// A folder of mails.
pub struct Mailbox(PathBuf);

/// One mail.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The address in `To`.
    pub to: String,
    /// The address in `From`.
    pub from: String,
    /// The subject, decoded.
    pub subject: String,
    /// `Message-ID`, without angle brackets.
    pub message_id: String,
    /// The plain text part.
    pub text: String,
    /// The HTML part, with slashes unescaped.
    pub html: String,
    /// The file's content.
    pub raw: String,
}

impl Mailbox {
    /// The mails in a folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// All mails, ordered by file name.
    ///
    /// # Panics
    /// If one is incomplete.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        let mut files: Vec<_> = std::fs::read_dir(&self.0)
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
        files.sort();
        files.iter().map(|file| Mail::parse(&std::fs::read(file).unwrap())).collect()
    }

    /// The mails to one address.
    #[must_use]
    pub fn to(&self, address: &str) -> Vec<Mail> {
        let mut mails = self.mails();
        mails.retain(|mail| mail.to == address);
        mails
    }

    /// Waits for the first mail to an address.
    pub async fn first_to(&self, address: &str) -> Mail {
        eventually(format!("a mail to {address}"), ARRIVES, async || self.to(address).into_iter().next())
            .await
    }
}

impl Mail {
    /// Parses a mail.
    ///
    /// # Panics
    /// If a required header is missing.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mail = MessageParser::default().parse(bytes).expect("a file in the mailbox is a mail");
        let address = |of: Option<&mail_parser::Address<'_>>| {
            of.and_then(|a| a.first()?.address.as_deref().map(str::to_owned)).expect("a mail has From and To")
        };
        assert!(mail.date().is_some(), "a mail has a Date");
        Self {
            to: address(mail.to()),
            from: address(mail.from()),
            subject: mail.subject().unwrap_or("").to_owned(),
            message_id: mail.message_id().expect("a mail has a Message-ID").to_owned(),
            text: mail.body_text(0).map(Into::into).unwrap_or_default(),
            html: mail.body_html(0).unwrap_or_default().replace("&#x2f;", "/"),
            raw: String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

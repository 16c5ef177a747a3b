//! Where mail goes: into a folder or to a mail server, chosen by one URL. Before it: [`super::message`]; after it: the
//! sender settles the ledger's row.

use super::folder::Folder;
use super::message::Mail;
use super::smtp::Smtp;

/// The schemes of URLs that [`Transport::open`] takes.
pub const SCHEMES: [&str; 3] = ["file", "smtp", "smtps"];

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It will never be taken: the server's reply code.
    Refused(u16),
    /// It may be taken later. Says why not now, without personal data.
    Again(String),
    /// Nobody knows whether it was sent: the time was up before the server's last word.
    Unknown,
}

/// Where mail goes.
pub enum Transport {
    /// `.eml` files.
    Folder(Folder),
    /// A mail server.
    Smtp(Box<Smtp>),
}

impl Transport {
    /// The transport of a URL, for at most `at_once` mails at a time. A mail server that is away is no error.
    ///
    /// # Errors
    /// Says what is wrong with the URL or the folder, and repeats no secret.
    pub fn open(url: &str, at_once: u32) -> Result<Self, String> {
        let parsed = url::Url::parse(url).map_err(|_| "is no URL".to_owned())?;
        match parsed.scheme() {
            "file" => Folder::open(&parsed).map(Self::Folder),
            _ => Smtp::new(url, at_once).map(|smtp| Self::Smtp(Box::new(smtp))),
        }
    }

    /// Sends a mail.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&self, mail: &Mail) -> Result<(), Failure> {
        match self {
            Self::Smtp(smtp) => smtp.send(&mail.message).await,
            Self::Folder(folder) => {
                let (folder, name, content) =
                    (folder.clone(), mail.file_name.clone(), mail.message.formatted());
                let written = tokio::task::spawn_blocking(move || folder.write(&name, &content)).await;
                match written {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => {
                        Err(Failure::Again(format!("the mail folder cannot be written: {error}")))
                    }
                    Err(_) => Err(Failure::Unknown),
                }
            }
        }
    }
}

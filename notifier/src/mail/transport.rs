//! Where mail goes: into a folder or to a mail server, chosen by one URL. Before it: [`super::message`]; after it: the
//! sender settles the ledger's row.

use std::time::Duration;

use super::folder::Folder;
use super::message::Mail;
use super::smtp::Smtp;

/// The schemes of URLs that [`Transport::open`] takes.
pub const SCHEMES: [&str; 3] = ["file", "smtp", "smtps"];

/// Why a mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It will never be taken. Says why, without personal data.
    Refused(String),
    /// It may be taken later. Says why not now, without personal data.
    Again(String),
    /// Nobody knows whether it was sent: there was no last word from the server. Says why.
    Unknown(&'static str),
}

/// Where mail goes.
pub enum Transport {
    /// `.eml` files.
    Folder(Folder),
    /// A mail server.
    Smtp(Box<Smtp>),
}

impl Transport {
    /// The transport of a URL; a mail server is given `timeout` for each mail. One that is away is no error.
    ///
    /// # Errors
    /// Says what is wrong with the URL or the folder, and repeats no secret.
    pub fn open(url: &str, timeout: Duration) -> Result<Self, String> {
        let parsed = url::Url::parse(url).map_err(|_| "is no URL".to_owned())?;
        match parsed.scheme() {
            "file" => Folder::open(&parsed).map(Self::Folder),
            _ => Smtp::new(&parsed, timeout).map(|smtp| Self::Smtp(Box::new(smtp))),
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
                    Err(_) => Err(Failure::Unknown("writing it was broken off")),
                }
            }
        }
    }
}

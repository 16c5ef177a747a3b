//! Where mail is sent: a folder or a mail server, selected by a URL.

use std::time::Duration;

use platform::plaintext::Allowed;

use super::failure::Failure;
use super::folder::Folder;
use super::message::Mail;
use super::smtp::Smtp;

/// The URL schemes that [`Transport::open`] accepts.
pub const SCHEMES: [&str; 3] = ["file", "smtp", "smtps"];

/// Where mail is sent.
pub enum Transport {
    /// `.eml` files.
    Folder(Folder),
    /// A mail server.
    Smtp(Box<Smtp>),
}

impl Transport {
    /// Opens the transport of a URL; `timeout` is for each mail to a mail server. `plaintext` says whether a password
    /// may be sent unencrypted. An unreachable server is not an error
    /// here.
    ///
    /// # Errors
    /// Describes the problem with the URL or the folder, without secrets.
    pub fn open(url: &str, timeout: Duration, plaintext: &Allowed) -> Result<Self, String> {
        let parsed = url::Url::parse(url).map_err(|_| "is not a URL".to_owned())?;
        match parsed.scheme() {
            "file" => Folder::open(&parsed).map(Self::Folder),
            _ => Smtp::new(&parsed, timeout, plaintext).map(|smtp| Self::Smtp(Box::new(smtp))),
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
                    Err(_) => Err(Failure::Unknown("writing the file was interrupted")),
                }
            }
        }
    }
}

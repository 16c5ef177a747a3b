//! Sends mail by SMTP, with pooled connections and a timeout for each mail, and classifies failures.
//!
//! The SMTP dialogue is implemented here, command by command, because it matters where it is interrupted: before the
//! final dot the server cannot have accepted the mail, after it the outcome is unknown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailParameter};
use lettre::{Address, Message};
use platform::plaintext::Allowed;

use super::failure::Failure;
use super::server::{Connections, Server};

/// Reply codes that are about the server or our account, not about the mail: RFC 5321 §4.2.3 (500 to 504), RFC 4954 §6
/// (530 and up).
const NOT_THE_MAIL: [u16; 9] = [500, 501, 502, 503, 504, 530, 534, 535, 538];

/// An SMTP transport.
pub struct Smtp {
    connections: Connections,
    timeout: Duration,
}

/// Where an SMTP dialogue failed.
enum Broken {
    /// Before the mail transaction: connecting, greeting, authentication.
    Greeting(Error),
    /// Reply to MAIL FROM.
    Sender(Error),
    /// Reply to RCPT TO.
    Recipient(Error),
    /// Reply to DATA or to the message.
    Mail(Error),
    /// No reply after the final dot.
    Dot,
    /// An address is not ASCII, and the server does not support SMTPUTF8 (RFC 6531).
    Address,
}

impl Smtp {
    /// Creates a transport for the mail server of this URL; does not connect yet. `timeout` applies to each mail, from
    /// connecting to the reply to the final dot.
    ///
    /// # Errors
    /// Describes the problem with the URL, without quoting it.
    pub fn new(url: &url::Url, timeout: Duration, plaintext: &Allowed) -> Result<Self, String> {
        Ok(Self { connections: Connections::new(Server::of(url, plaintext)?), timeout })
    }

    /// Sends a mail.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&self, message: &Message) -> Result<(), Failure> {
        let (envelope, bytes) = (message.envelope(), message.formatted());
        let dotted = AtomicBool::new(false);
        match tokio::time::timeout(self.timeout, self.converse(envelope, &bytes, &dotted)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(broken)) => Err(failure(&broken)),
            // The connection was dropped with the future, so a late reply cannot be taken for the reply to another
            // mail.
            Err(_) if dotted.load(Ordering::Relaxed) => {
                Err(Failure::Unknown("the mail server did not answer in time"))
            }
            Err(_) => Err(Failure::Again("the mail server did not answer in time".to_owned())),
        }
    }

    async fn converse(&self, envelope: &Envelope, bytes: &[u8], dotted: &AtomicBool) -> Result<(), Broken> {
        let mut connection = self.connections.get().await.map_err(Broken::Greeting)?;
        match transmit(&mut connection, envelope, bytes, dotted).await {
            Ok(()) => {
                self.connections.put_back(connection);
                Ok(())
            }
            Err(broken) => {
                Connections::close(connection);
                Err(broken)
            }
        }
    }
}

async fn transmit(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    bytes: &[u8],
    dotted: &AtomicBool,
) -> Result<(), Broken> {
    let mut parameters = Vec::new();
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if !envelope.to().iter().chain(envelope.from()).all(is_ascii) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(Broken::Address);
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    connection.command(Mail::new(envelope.from().cloned(), parameters)).await.map_err(Broken::Sender)?;
    for to in envelope.to() {
        connection.command(Rcpt::new(to.clone(), Vec::new())).await.map_err(Broken::Recipient)?;
    }
    connection.command(Data).await.map_err(Broken::Mail)?;
    dotted.store(true, Ordering::Relaxed);
    match connection.message(bytes).await {
        Ok(_) => Ok(()),
        Err(error) if error.status().is_some() => Err(Broken::Mail(error)),
        Err(_) => Err(Broken::Dot),
    }
}

fn failure(broken: &Broken) -> Failure {
    let (error, is_final): (_, fn(u16, &str) -> bool) = match broken {
        Broken::Dot => return Failure::Unknown("the connection broke after the final dot"),
        Broken::Address => {
            let why = "the address is not ASCII, and the mail server does not support SMTPUTF8";
            return Failure::Refused(why.to_owned());
        }
        Broken::Greeting(error) => (error, |_, _| false),
        // The sender is the same for all mail, and the operator must fix it.
        Broken::Sender(error) => (error, |_, _| false),
        Broken::Recipient(error) => (error, is_about_the_recipient),
        Broken::Mail(error) => (error, is_about_the_mail),
    };
    // lettre's error text contains the reply, which contains the address.
    match error.status().map(u16::from) {
        Some(code) if error.is_permanent() && is_final(code, &error.to_string()) => {
            Failure::Refused(format!("the mail server rejected it permanently ({code})"))
        }
        Some(code) if matches!(broken, Broken::Sender(_)) => {
            Failure::Again(format!("the mail server replied {code} to the sender's address"))
        }
        Some(code) => Failure::Again(format!("the mail server replied {code}")),
        None if error.is_tls() => Failure::Again("the TLS handshake with the mail server failed".to_owned()),
        None if error.is_client() => Failure::Again(
            "the mail server does not support what the URL requires (STARTTLS, authentication)".to_owned(),
        ),
        None if error.is_timeout() => Failure::Again("the mail server did not answer in time".to_owned()),
        None if error.is_response() => {
            Failure::Again("the mail server closed the connection, or does not speak SMTP".to_owned())
        }
        None => Failure::Again("the mail server is unreachable".to_owned()),
    }
}

/// Whether a 5xx reply means that this mail will never be accepted. Policy errors (RFC 3463, X.7.x: relaying denied,
/// sender not allowed) are for the operator to fix; the mail is retried until then.
fn is_about_the_mail(code: u16, words: &str) -> bool {
    !NOT_THE_MAIL.contains(&code) && !words.contains(": 5.7.")
}

/// Whether a 5xx reply means that this address will never be accepted. In reply to RCPT TO, 501 and 504 are about the
/// address, as are RFC 3463's X.1.x, except those about the sender. Postfix rejects the sender and the HELO name only
/// in reply to RCPT TO.
fn is_about_the_recipient(code: u16, words: &str) -> bool {
    let of_the_sender = [": 5.1.7", ": 5.1.8", "Helo command rejected", "Sender address rejected"];
    let of_the_sender = of_the_sender.iter().any(|sign| words.contains(sign));
    let of_the_address = matches!(code, 501 | 504) || words.contains(": 5.1.");
    !of_the_sender && (of_the_address || is_about_the_mail(code, words)) && !words.contains(": 5.7.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replies_about_the_mail_are_permanent() {
        for (code, words, mail, recipient) in [
            (550, "permanent error (550): 5.1.1 no such user", true, true),
            (550, "permanent error (550): no such user", true, true),
            (552, "permanent error (552): 5.2.2 mailbox full", true, true),
            (553, "permanent error (553): 5.1.8 bad sender", true, false),
            (550, "permanent error (550): 5.1.7 bad sender", true, false),
            (501, "permanent error (501): 5.1.3 bad address syntax", false, true),
            (504, "permanent error (504): fully qualified address, please", false, true),
            (
                504,
                "permanent error (504): 5.5.2 <here>: Helo command rejected: need fully-qualified hostname",
                false,
                false,
            ),
            (554, "permanent error (554): 5.7.1 relay access denied", false, false),
            (501, "permanent error (501): 5.7.1 relay access denied", false, false),
            (535, "permanent error (535): 5.7.8 bad credentials", false, false),
            (530, "permanent error (530): log in first", false, false),
            (502, "permanent error (502): not implemented", false, false),
        ] {
            assert_eq!(is_about_the_mail(code, words), mail, "{words}");
            assert_eq!(is_about_the_recipient(code, words), recipient, "{words}");
        }
    }
}

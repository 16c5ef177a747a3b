//! Mail by SMTP: connections that are used again, a bounded time for each mail, and what the way that a conversation ends means.
//!
//! The conversation is held here, command by command, because what matters is where it broke off: before the final dot the
//! server cannot have taken the mail, after it nobody knows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailParameter};
use lettre::{Address, Message};

use super::server::{Connections, Server};
use super::transport::Failure;

/// Replies that are about the server or our account there, not about the mail: RFC 5321 §4.2.3 (500 to 504),
/// RFC 4954 §6 (530 and up).
const NOT_THE_MAIL: [u16; 9] = [500, 501, 502, 503, 504, 530, 534, 535, 538];

/// A mail server.
pub struct Smtp {
    connections: Connections,
    timeout: Duration,
}

/// Where a conversation broke off.
enum Broken {
    /// Before the mail was spoken of: while connecting, greeting, logging in.
    Greeting(Error),
    /// With an answer to our sender's address.
    Sender(Error),
    /// With an answer to the recipient's address.
    Recipient(Error),
    /// With an answer to the mail itself.
    Mail(Error),
    /// After the final dot, without an answer.
    Dot,
    /// The server cannot take addresses beyond ASCII (RFC 6531).
    Address,
}

impl Smtp {
    /// The mail server of this URL; each mail takes at most `timeout`, from connecting to the server's answer to the final
    /// dot. It is not connected to yet.
    ///
    /// # Errors
    /// Says what is wrong with the URL, and repeats nothing of it.
    pub fn new(url: &url::Url, timeout: Duration) -> Result<Self, String> {
        Ok(Self { connections: Connections::new(Server::of(url)?), timeout })
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
            // The connection went with the conversation: nobody takes the answers to this mail for those to theirs.
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
            let why = "the address is not in ASCII, which the mail server does not take (SMTPUTF8)";
            return Failure::Refused(why.to_owned());
        }
        Broken::Greeting(error) => (error, |_, _| false),
        // The same for everybody, and the operator's to mend.
        Broken::Sender(error) => (error, |_, _| false),
        Broken::Recipient(error) => (error, is_about_the_recipient),
        Broken::Mail(error) => (error, is_about_the_mail),
    };
    // lettre's own words for a reply hold the reply, and that holds the address.
    match error.status().map(u16::from) {
        Some(code) if error.is_permanent() && is_final(code, &error.to_string()) => {
            Failure::Refused(format!("the mail server refused it for good ({code})"))
        }
        Some(code) if matches!(broken, Broken::Sender(_)) => {
            Failure::Again(format!("the mail server answered {code} to the sender's address"))
        }
        Some(code) => Failure::Again(format!("the mail server answered {code}")),
        None if error.is_tls() => Failure::Again("the TLS handshake with the mail server failed".to_owned()),
        None if error.is_client() => Failure::Again(
            "the mail server lacks what the URL asks for (STARTTLS, a way to log in)".to_owned(),
        ),
        None if error.is_timeout() => Failure::Again("the mail server did not answer in time".to_owned()),
        None if error.is_response() => {
            Failure::Again("the mail server hung up, or does not speak SMTP".to_owned())
        }
        None => Failure::Again("the mail server cannot be reached".to_owned()),
    }
}

/// Whether a reply of the 5xx kind means that this mail will never be taken. Policies (RFC 3463's X.7.x: no relaying,
/// a sender that is not allowed) are the operator's to mend, and the mail is still there when they are.
fn is_about_the_mail(code: u16, words: &str) -> bool {
    !NOT_THE_MAIL.contains(&code) && !words.contains(": 5.7.")
}

/// Whether a reply of the 5xx kind means that this address will never be taken. To an address 501 and 504 speak of the address, and so
/// do the codes X.1.x of RFC 3463, but for those about the sender. (Postfix says what it thinks of us only there.)
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
    fn only_what_is_about_the_mail_is_refused_for_good() {
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

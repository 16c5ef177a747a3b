//! Mail by SMTP: a bounded pool of connections, a bounded time for each mail, and what a server's answer means.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use lettre::transport::smtp::{AsyncSmtpTransportBuilder, Error, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::transport::Failure;

/// How long sending one mail may take, from connecting to the server's answer to the final dot.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(15);
/// Replies that are about the server or our account there, not about the mail: RFC 5321 §4.2.3 (500 to 504),
/// RFC 4954 §6 (530 and up).
const NOT_THE_MAIL: [u16; 9] = [500, 501, 502, 503, 504, 530, 534, 535, 538];

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// A mail server.
pub struct Smtp {
    builder: AsyncSmtpTransportBuilder,
    current: RwLock<Transport>,
}

impl Smtp {
    /// The mail server of this URL, over at most `connections` at once. It is not connected to yet.
    ///
    /// # Errors
    /// Says what is wrong with the URL, and repeats nothing of it.
    pub fn new(url: &str, connections: u32) -> Result<Self, String> {
        let builder = Transport::from_url(url)
            .map_err(|_| {
                "must be like smtp://user:password@host:587?tls=required or smtps://host:465".to_owned()
            })?
            .timeout(Some(CONNECT))
            .pool_config(PoolConfig::new().max_size(connections));
        let current = RwLock::new(builder.clone().build());
        Ok(Self { builder, current })
    }

    /// Sends a mail.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&self, message: &Message) -> Result<(), Failure> {
        let transport = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (envelope, bytes) = (message.envelope(), message.formatted());
        // lettre itself bounds only the connecting.
        match tokio::time::timeout(TIMEOUT, transport.send_raw(envelope, &bytes)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                Err(failure(&error, envelope.to().iter().all(|to| AsRef::<str>::as_ref(to).is_ascii())))
            }
            Err(_) => {
                // The connection goes back into its pool in the middle of a conversation: whoever used it next would take
                // the answers to this mail for the answers to theirs. So the pool is given up.
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = self.builder.clone().build();
                Err(Failure::Unknown)
            }
        }
    }
}

fn failure(error: &Error, ascii: bool) -> Failure {
    if error.is_timeout() {
        return Failure::Again("the mail server did not answer in time".to_owned());
    }
    // lettre's own words for a reply hold the reply, and that holds the address.
    match error.status().map(u16::from) {
        Some(code) if error.is_permanent() && is_about_the_mail(code, &error.to_string()) => {
            Failure::Refused(code)
        }
        Some(code) => Failure::Again(format!("the mail server answered {code}")),
        // RFC 6531: the one fault that lettre finds by itself and that another attempt does not mend.
        None if error.is_client() && !ascii => Failure::Refused(553),
        None if error.is_tls() => Failure::Again("the TLS handshake with the mail server failed".to_owned()),
        None if error.is_client() => Failure::Again(
            "the mail server lacks what the URL asks for (STARTTLS, a way to log in)".to_owned(),
        ),
        None if error.is_response() => Failure::Again("the mail server does not speak SMTP".to_owned()),
        None => Failure::Again("the mail server cannot be reached".to_owned()),
    }
}

/// Whether a reply of the 5xx kind means that this mail will never be taken. Policies (RFC 3463's X.7.x: no relaying,
/// a sender that is not allowed) are the operator's to mend, and the mail is still there when they are.
fn is_about_the_mail(code: u16, words: &str) -> bool {
    !NOT_THE_MAIL.contains(&code) && !words.contains(": 5.7.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_mail_is_refused_for_good() {
        for (code, words, expected) in [
            (550, "permanent error (550): 5.1.1 no such user", true),
            (550, "permanent error (550): no such user", true),
            (552, "permanent error (552): 5.2.2 mailbox full", true),
            (554, "permanent error (554): 5.7.1 relay access denied", false),
            (535, "permanent error (535): 5.7.8 bad credentials", false),
            (530, "permanent error (530): log in first", false),
            (502, "permanent error (502): not implemented", false),
        ] {
            assert_eq!(is_about_the_mail(code, words), expected, "{words}");
        }
    }

    #[tokio::test]
    async fn urls_are_refused_without_being_repeated() {
        for url in ["smtp://me:secret@mail.example:587?tls=maybe", "smtps://"] {
            let complaint = Smtp::new(url, 2).err().unwrap();
            assert!(!complaint.contains("secret"), "{complaint}");
        }
        assert!(Smtp::new("smtp://mail.example:25", 2).is_ok());
    }
}

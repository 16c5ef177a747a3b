//! Signing mail (DKIM, RFC 6376), so that receivers know whose it is. Before it: [`super::message`].

use std::path::Path;

use lettre::Message;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm, DkimSigningKey,
};
use lettre::message::header::HeaderName;
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::{DecodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;

/// What is signed. What a mail does not have is signed too: it cannot be added on the way. RFC 8058 §4 wants the last two.
/// (`Content-Type` is not among them: lettre has it with the body, and would sign that there is none.)
const HEADERS: [&str; 9] = [
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];
/// The shortest key that is of use (RFC 8301 §3.2), in bytes.
const LEAST: usize = 128;

/// A key, and the name under which its public half stands in the DNS.
#[derive(Debug)]
pub struct Signer(DkimConfig);

impl Signer {
    /// A signer for `domain`, whose public key stands at `{selector}._domainkey.{domain}`, with the private RSA key in a file.
    ///
    /// # Errors
    /// Says what is wrong with the file, and repeats nothing of it.
    pub fn open(file: &Path, selector: &str, domain: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("cannot be read: {e}"))?;
        Self::new(&text, selector, domain)
    }

    fn new(pem: &str, selector: &str, domain: &str) -> Result<Self, String> {
        let key = RsaPrivateKey::from_pkcs8_pem(pem)
            .or_else(|_| RsaPrivateKey::from_pkcs1_pem(pem).map_err(|_| rsa::pkcs8::Error::KeyMalformed))
            .map_err(|_| "is no private RSA key in PEM, as of openssl genrsa 2048".to_owned())?;
        if key.size() < LEAST {
            return Err("is a key of less than 1024 bits, which receivers ignore".to_owned());
        }
        let pkcs1 = key.to_pkcs1_pem(LineEnding::LF).map_err(|_| "is no key that can be used".to_owned())?;
        let key = DkimSigningKey::new(&pkcs1, DkimSigningAlgorithm::Rsa)
            .map_err(|_| "is no key that can be used".to_owned())?;
        Ok(Self(DkimConfig::new(
            selector.to_owned(),
            domain.to_owned(),
            key,
            HEADERS.map(HeaderName::new_from_ascii_str).to_vec(),
            DkimCanonicalization {
                header: DkimCanonicalizationType::Relaxed,
                body: DkimCanonicalizationType::Relaxed,
            },
        )))
    }

    /// Signs a mail.
    pub fn sign(&self, message: &mut Message) {
        message.sign(&self.0);
    }
}

//! DKIM signatures (RFC 6376).

use std::collections::BTreeMap;
use std::path::Path;

use lettre::Message;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm, DkimSigningKey,
};
use lettre::message::header::HeaderName;
use platform::private_file;
use rsa::RsaPrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::{DecodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;

/// The signed headers. Absent ones are signed too, so that they cannot be added in transit. RFC 8058 §4 requires the
/// last two. `Content-Type` is missing because lettre keeps it with the body and would sign it as absent.
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
/// The minimum key size (RFC 8301 §3.2), in bytes.
const LEAST: usize = 128;

/// Signing keys by domain.
#[derive(Debug)]
pub struct Signer {
    own: String,
    keys: BTreeMap<String, DkimConfig>,
}

impl Signer {
    /// Loads a private RSA key from a file, for our own `domain`; the public key belongs at
    /// `{selector}._domainkey.{domain}`. If the path is a folder, each file `{domain}.pem` in it is the key of that
    /// domain. Keys that other users can read are refused.
    ///
    /// # Errors
    /// Names the file and describes the problem, without any of its content.
    pub fn open(path: &Path, selector: &str, domain: &str) -> Result<Self, String> {
        let (own, mut keys) = (domain.to_ascii_lowercase(), BTreeMap::new());
        let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(unreadable)? {
                let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
                let Some(of) = name.strip_suffix(".pem").map(str::to_ascii_lowercase) else { continue };
                let text = private_file::read(&path.join(&name));
                let key = text.and_then(|text| key(&text, selector, &of));
                let key = key.map_err(|e| format!("has {name}, which {e}"))?;
                keys.insert(of, key);
            }
        } else {
            let text = private_file::read(path)?;
            keys.insert(own.clone(), key(&text, selector, &own)?);
        }
        if keys.is_empty() { Err("has no file DOMAIN.pem".to_owned()) } else { Ok(Self { own, keys }) }
    }

    /// Signs a mail with the key of the sender's domain, or with our own. Without either the mail stays unsigned.
    pub fn sign(&self, message: &mut Message, sender: &str) {
        let key = self.keys.get(&sender.to_ascii_lowercase());
        if let Some(key) = key.or_else(|| self.keys.get(&self.own)) {
            message.sign(key);
        }
    }
}

fn key(pem: &str, selector: &str, domain: &str) -> Result<DkimConfig, String> {
    let key = RsaPrivateKey::from_pkcs8_pem(pem)
        .or_else(|_| RsaPrivateKey::from_pkcs1_pem(pem).map_err(|_| rsa::pkcs8::Error::KeyMalformed))
        .map_err(|_| "is not a private RSA key in PEM (openssl genrsa 2048 makes one)".to_owned())?;
    if key.size() < LEAST {
        return Err("is a key of less than 1024 bits, which receivers reject".to_owned());
    }
    let pkcs1 = key.to_pkcs1_pem(LineEnding::LF).map_err(|_| "is not a usable key".to_owned())?;
    let key = DkimSigningKey::new(&pkcs1, DkimSigningAlgorithm::Rsa)
        .map_err(|_| "is not a usable key".to_owned())?;
    Ok(DkimConfig::new(
        selector.to_owned(),
        domain.to_owned(),
        key,
        HEADERS.map(HeaderName::new_from_ascii_str).to_vec(),
        DkimCanonicalization {
            header: DkimCanonicalizationType::Relaxed,
            body: DkimCanonicalizationType::Relaxed,
        },
    ))
}

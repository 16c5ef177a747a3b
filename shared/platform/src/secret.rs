//! Encryption of stored secrets with one key from the environment (ChaCha20-Poly1305, RFC 8439). The database alone
//! does not reveal a secret, and each is bound to its purpose: it cannot be opened for another one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The length of a key, in bytes.
const LENGTH: usize = 32;

/// The key that encrypts stored secrets: `ROLLCALL_SECRET_KEY`. Its `Debug` output is masked.
#[derive(Clone)]
pub struct SecretKey(Arc<LessSafeKey>);

impl FromStr for SecretKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be 32 random bytes in base64, as `openssl rand -base64 32` prints them";
        let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == LENGTH).ok_or(FORM)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| FORM)?;
        Ok(Self(Arc::new(LessSafeKey::new(key))))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SecretKey {
    /// Encrypts a secret; `purpose` must be the same when it is opened. Returns the nonce and the ciphertext. (The
    /// nonce is random: 96 bits are enough for as many secrets as operators enter.)
    ///
    /// # Panics
    /// Never: the cipher accepts everything below 256 GiB.
    #[must_use]
    pub fn seal(&self, secret: &[u8], purpose: &str) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut text = secret.to_vec();
        let (key, place) = (Nonce::assume_unique_for_key(nonce), Aad::from(purpose));
        self.0.seal_in_place_append_tag(key, place, &mut text).expect("a secret is short");
        [nonce.as_slice(), &text].concat()
    }

    /// Decrypts a secret; `None` if it was sealed with another key or for another purpose, or was modified.
    #[must_use]
    pub fn open(&self, sealed: &[u8], purpose: &str) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0.open_in_place(nonce, Aad::from(purpose), &mut text).ok().map(|secret| secret.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretKey {
        STANDARD.encode([byte; LENGTH]).parse().unwrap()
    }

    #[test]
    fn a_secret_opens_only_with_its_key_and_purpose() {
        let sealed = key(1).seal(b"00token", "acme");
        assert_eq!(key(1).open(&sealed, "acme").as_deref(), Some(b"00token".as_slice()));
        assert_eq!(key(2).open(&sealed, "acme"), None);
        assert_eq!(key(1).open(&sealed, "other"), None);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(key(1).open(&changed, "acme"), None, "byte {place}");
            assert_eq!(key(1).open(&sealed[..place], "acme"), None, "cut at {place}");
        }
    }

    #[test]
    fn sealing_a_secret_twice_gives_different_results() {
        assert_ne!(key(1).seal(b"x", ""), key(1).seal(b"x", ""));
    }

    #[test]
    fn an_invalid_key_is_rejected_and_no_key_is_shown() {
        for wrong in ["", "secret", &STANDARD.encode([1; 31]), &STANDARD.encode([1; 33])] {
            let said = wrong.parse::<SecretKey>().unwrap_err();
            assert!(said.contains("32 random bytes in base64"), "{said}");
        }
        assert_eq!(format!("{:?}", key(7)), "***");
    }
}

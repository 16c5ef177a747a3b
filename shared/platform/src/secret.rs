//! Encryption of stored secrets with keys from the environment (ChaCha20-Poly1305, RFC 8439). The database alone does
//! not reveal a secret, and each is bound to its purpose: it cannot be opened for another one. To rotate the key,
//! there may be several: the first encrypts, all decrypt.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The length of a key, in bytes.
const LENGTH: usize = 32;

/// The maximum number of keys.
const MAX_KEYS: usize = 8;

/// The keys that encrypt stored secrets: `ROLLCALL_SECRET_KEY`. Its `Debug` output is masked.
#[derive(Clone)]
pub struct SecretKey(Arc<Vec<LessSafeKey>>);

/// What [`SecretKey::renew`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The secret is sealed with the first key.
    Current,
    /// It was sealed with another key; this is the same secret, sealed with the first one.
    Renewed(Vec<u8>),
    /// No key opens it.
    Unreadable,
}

impl FromStr for SecretKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be 32 random bytes in base64, as `openssl rand -base64 32` prints them, or several such keys, separated by commas";
        let key = |text: &str| {
            let bytes = STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() == LENGTH)?;
            UnboundKey::new(&CHACHA20_POLY1305, &bytes).ok().map(LessSafeKey::new)
        };
        let keys: Vec<LessSafeKey> = text.split(',').map(key).collect::<Option<_>>().ok_or(FORM)?;
        if keys.len() > MAX_KEYS {
            return Err("must be at most 8 keys");
        }
        Ok(Self(Arc::new(keys)))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl SecretKey {
    /// Encrypts a secret with the first key; `purpose` must be the same when it is opened. Returns the nonce and the ciphertext. (The
    /// nonce is random: 96 bits are enough for as many secrets as operators enter.)
    ///
    /// # Panics
    /// Never: the cipher accepts everything below 256 GiB, and there is a key.
    #[must_use]
    pub fn seal(&self, secret: &[u8], purpose: &str) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut text = secret.to_vec();
        let (key, place) = (Nonce::assume_unique_for_key(nonce), Aad::from(purpose));
        self.0[0].seal_in_place_append_tag(key, place, &mut text).expect("a secret is short");
        [nonce.as_slice(), &text].concat()
    }

    /// Decrypts a secret; `None` if it was sealed with another key or for another purpose, or was modified.
    #[must_use]
    pub fn open(&self, sealed: &[u8], purpose: &str) -> Option<Vec<u8>> {
        self.0.iter().find_map(|key| open(key, sealed, purpose))
    }

    /// Seals a secret with the first key if it was sealed with another one.
    #[must_use]
    pub fn renew(&self, sealed: &[u8], purpose: &str) -> Renewal {
        if open(&self.0[0], sealed, purpose).is_some() {
            return Renewal::Current;
        }
        let secret = self.open(sealed, purpose);
        secret.map_or(Renewal::Unreadable, |secret| Renewal::Renewed(self.seal(&secret, purpose)))
    }
}

fn open(key: &LessSafeKey, sealed: &[u8], purpose: &str) -> Option<Vec<u8>> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut text = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    key.open_in_place(nonce, Aad::from(purpose), &mut text).ok().map(|secret| secret.to_vec())
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
    fn of_several_keys_the_first_seals_and_all_open() {
        let text = |byte| STANDARD.encode([byte; LENGTH]);
        let rotating: SecretKey = format!("{}, {}", text(2), text(1)).parse().unwrap();
        let old = key(1).seal(b"00token", "acme");
        assert_eq!(rotating.open(&old, "acme").as_deref(), Some(b"00token".as_slice()));
        let Renewal::Renewed(new) = rotating.renew(&old, "acme") else { panic!("the key is not the first") };
        assert_eq!(key(2).open(&new, "acme").as_deref(), Some(b"00token".as_slice()));
        assert_eq!(rotating.renew(&new, "acme"), Renewal::Current);
        assert_eq!(key(2).renew(&old, "acme"), Renewal::Unreadable);
        assert_eq!(rotating.renew(&old, "other"), Renewal::Unreadable);
        let many = vec![text(1); MAX_KEYS + 1].join(",");
        assert!(many.parse::<SecretKey>().is_err());
    }

    #[test]
    fn sealing_a_secret_twice_gives_different_results() {
        assert_ne!(key(1).seal(b"x", ""), key(1).seal(b"x", ""));
    }

    #[test]
    fn an_invalid_key_is_rejected_and_no_key_is_shown() {
        for wrong in [
            "",
            "secret",
            &STANDARD.encode([1; 31]),
            &STANDARD.encode([1; 33]),
            &format!("{},", STANDARD.encode([1; 32])),
        ] {
            let said = wrong.parse::<SecretKey>().unwrap_err();
            assert!(said.contains("32 random bytes in base64"), "{said}");
        }
        assert_eq!(format!("{:?}", key(7)), "***");
    }
}

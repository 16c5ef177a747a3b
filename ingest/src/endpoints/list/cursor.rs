//! Cursors (RFC 9865). A cursor holds the id and the sort key of a page's last resource, so that the next page is
//! correct even if the resource has changed since, and the total of the first page, so that later pages do not count
//! again. It is bound to its query by a digest but grants no access: the tenant always comes from the API key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use database::list::Mark;
use scim::{Error, ScimType, discovery};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::endpoints::kind::Kind;

const DIGEST: usize = 16;
/// Added to the kind's byte if the total follows. Cursors of the previous release have no total.
const WITH_TOTAL: u8 = 2;

/// The start of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// The kind of its first resource. Earlier kinds are complete.
    pub(super) kind: Kind,
    /// The resource before it; `None` at the beginning.
    pub(super) last: Option<Mark>,
    /// The total when the first page was read; `None` if it is not counted yet.
    pub(super) total: Option<i64>,
}

/// The identity of the query that a cursor belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) tenant: Uuid,
    pub(super) parts: Vec<String>,
}

impl Scope {
    /// Encodes a cursor that is issued at this time in milliseconds.
    pub(super) fn cursor(&self, place: &Place, now_ms: i64) -> String {
        let mut bytes = Vec::new();
        bytes.extend(now_ms.to_be_bytes());
        let kind = match place.kind {
            Kind::User => 0,
            Kind::Group => 1,
        };
        match place.total {
            None => bytes.push(kind),
            Some(total) => {
                bytes.push(kind + WITH_TOTAL);
                bytes.extend(total.to_be_bytes());
            }
        }
        if let Some(Mark { id, key }) = &place.last {
            bytes.extend(id.as_bytes());
            bytes.extend(key.to_string().into_bytes());
        }
        let digest = self.digest(&bytes);
        bytes.extend(digest);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes a cursor.
    ///
    /// # Errors
    /// 400 `invalidCursor` if it is malformed or belongs to another query, `expiredCursor` if it is too old.
    pub(super) fn place(&self, cursor: &str, now_ms: i64) -> Result<Place, Error> {
        let invalid = || {
            Error::bad_request(
                ScimType::InvalidCursor,
                "the cursor does not belong to this query; send an empty cursor for the first page",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
        let content = bytes.len().checked_sub(DIGEST).ok_or_else(invalid)?;
        let (content, digest) = bytes.split_at(content);
        if digest != self.digest(content) {
            return Err(invalid());
        }
        let (issued, rest) = content.split_first_chunk::<8>().ok_or_else(invalid)?;
        let (kind, rest) = rest.split_first().ok_or_else(invalid)?;
        let (total, last) = match rest.split_first_chunk::<8>() {
            Some((total, last)) if *kind >= WITH_TOTAL => (Some(i64::from_be_bytes(*total)), last),
            _ => (None, rest),
        };
        let kind = match (*kind, total) {
            (0, None) | (WITH_TOTAL, Some(0..)) => Kind::User,
            (1, None) | (3, Some(0..)) => Kind::Group,
            _ => return Err(invalid()),
        };
        let last = if last.is_empty() { None } else { Some(mark(last).ok_or_else(invalid)?) };
        let timeout_ms = i64::from(discovery::CURSOR_TIMEOUT_SECONDS) * 1_000;
        if now_ms.saturating_sub(i64::from_be_bytes(*issued)) > timeout_ms {
            return Err(expired());
        }
        Ok(Place { kind, last, total })
    }

    fn digest(&self, content: &[u8]) -> [u8; DIGEST] {
        let mut sha = Sha256::new();
        let parts = self.parts.iter().map(String::as_bytes);
        for part in [self.tenant.as_bytes().as_slice(), content].into_iter().chain(parts) {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
        let whole: [u8; 32] = sha.finalize().into();
        whole.first_chunk().copied().expect("half of 32 bytes are 16")
    }
}

fn mark(content: &[u8]) -> Option<Mark> {
    let (id, key) = content.split_first_chunk::<16>()?;
    let key: Value = serde_json::from_slice(key).ok()?;
    let is_key = match &key {
        // Postgres cannot store U+0000 in text.
        Value::String(text) => !text.contains('\0'),
        Value::Array(_) | Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    };
    is_key.then(|| Mark { id: Uuid::from_bytes(*id), key })
}

/// 400 `expiredCursor`.
fn expired() -> Error {
    Error::bad_request(ScimType::ExpiredCursor, "the cursor has expired; start again with the first page")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn scope(filter: &str) -> Scope {
        Scope { tenant: Uuid::max(), parts: vec!["/Users".to_owned(), filter.to_owned()] }
    }

    fn keyword(result: Result<Place, Error>) -> ScimType {
        let error = result.unwrap_err();
        assert_eq!(error.status, 400);
        error.scim_type.unwrap()
    }

    #[test]
    fn decoding_a_cursor_returns_its_place() {
        for kind in Kind::ALL {
            let mark = |key| Some(Mark { id: Uuid::from_u128(7), key });
            for last in [None, mark(Value::Null), mark("é\"x".into()), mark(7.5.into()), mark(true.into())] {
                for total in [None, Some(0), Some(100_000)] {
                    let place = Place { kind, last: last.clone(), total };
                    let cursor = scope("a").cursor(&place, NOW);
                    assert_eq!(scope("a").place(&cursor, NOW + 3_600_000), Ok(place));
                    assert!(
                        cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
                        "{cursor}"
                    );
                }
            }
        }
    }

    #[test]
    fn malformed_cursor_or_one_of_another_query_is_invalid() {
        let cursor = scope("a").cursor(&Place { kind: Kind::User, last: None, total: None }, NOW);
        let other = Scope { tenant: Uuid::nil(), ..scope("a") };
        assert_eq!(keyword(other.place(&cursor, NOW)), ScimType::InvalidCursor);
        assert_eq!(keyword(scope("b").place(&cursor, NOW)), ScimType::InvalidCursor);
        let longer = format!("{cursor}AAAA");
        for none in
            ["x", "%", "0", &cursor[1..], &cursor[..cursor.len() - 2], &longer, &cursor.to_uppercase()]
        {
            assert_eq!(keyword(scope("a").place(none, NOW)), ScimType::InvalidCursor, "{none}");
        }
    }

    #[test]
    fn cursor_expires() {
        let cursor = scope("a").cursor(&Place { kind: Kind::User, last: None, total: None }, NOW);
        assert_eq!(keyword(scope("a").place(&cursor, NOW + 3_600_001)), ScimType::ExpiredCursor);
    }
}

//! Cursors (RFC 9865): where the next page begins, and of which query. A cursor grants nothing: the tenant is that of the key
//! on every page. It holds the id of the last resource and what that was sorted by, so that the next page begins behind
//! there whatever became of the resource since; and how many resources matched the query when its first page was read, so
//! that later pages do not count them again.
//!
//! Before it: a page that is not the last. After it: the query for the next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::postgres::list::Mark;
use shared::scim::{Error, ScimType, discovery};
use uuid::Uuid;

use crate::scim::kind::Kind;

const DIGEST: usize = 16;
/// Added to the byte of the kind if the total follows it. Cursors of the version before hold no total.
const WITH_TOTAL: u8 = 2;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// Among the resources of this kind; those of earlier kinds are all before it.
    pub(super) kind: Kind,
    /// After this one; `None` is the beginning.
    pub(super) last: Option<Mark>,
    /// How many resources matched the query when its first page was read; `None` if they are still to be counted.
    pub(super) total: Option<i64>,
}

/// The query to which a cursor belongs: each part tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) tenant: Uuid,
    pub(super) parts: Vec<String>,
}

impl Scope {
    /// The cursor of a place, issued at this time in milliseconds.
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

    /// The place that a cursor stands for.
    ///
    /// # Errors
    /// 400 `invalidCursor` for one that is none of this query's, `expiredCursor` for one that is too old.
    pub(super) fn place(&self, cursor: &str, now_ms: i64) -> Result<Place, Error> {
        let invalid = || {
            Error::bad_request(
                ScimType::InvalidCursor,
                "the cursor is none that this query was answered with: leave it empty for the first page",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
        let told = bytes.len().checked_sub(DIGEST).ok_or_else(invalid)?;
        let (told, digest) = bytes.split_at(told);
        if digest != self.digest(told) {
            return Err(invalid());
        }
        let (issued, rest) = told.split_first_chunk::<8>().ok_or_else(invalid)?;
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

    fn digest(&self, told: &[u8]) -> [u8; DIGEST] {
        let mut sha = Sha256::new();
        let parts = self.parts.iter().map(String::as_bytes);
        for part in [self.tenant.as_bytes().as_slice(), told].into_iter().chain(parts) {
            sha.update((part.len() as u64).to_be_bytes());
            sha.update(part);
        }
        let whole: [u8; 32] = sha.finalize().into();
        whole.first_chunk().copied().expect("half of 32 bytes are 16")
    }
}

fn mark(told: &[u8]) -> Option<Mark> {
    let (id, key) = told.split_first_chunk::<16>()?;
    let key: Value = serde_json::from_slice(key).ok()?;
    let is_key = match &key {
        // Postgres has no text with U+0000 in it.
        Value::String(text) => !text.contains('\0'),
        Value::Array(_) | Value::Object(_) => false,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    };
    is_key.then(|| Mark { id: Uuid::from_bytes(*id), key })
}

/// 400 `expiredCursor`.
fn expired() -> Error {
    Error::bad_request(ScimType::ExpiredCursor, "the cursor has expired: begin with the first page again")
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
    fn a_cursor_leads_back_to_its_place() {
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
    fn a_cursor_of_another_query_or_none_at_all_is_invalid() {
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
    fn a_cursor_expires() {
        let cursor = scope("a").cursor(&Place { kind: Kind::User, last: None, total: None }, NOW);
        assert_eq!(keyword(scope("a").place(&cursor, NOW + 3_600_001)), ScimType::ExpiredCursor);
    }
}

//! Paging parameters (RFC 7644 §3.4.2.4, RFC 9865).

use scim::discovery::{DEFAULT_PAGE_SIZE, MAX_RESULTS};
use scim::{Error, ScimType};

/// The requested page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    /// By position.
    Index {
        /// The first result, counted from 1.
        start_index: i64,
        /// The maximum number of results; 0 requests only the total.
        count: i64,
    },
    /// By cursor.
    Cursor {
        /// The cursor from the previous page; empty for the first page.
        cursor: String,
        /// The maximum number of results, at least 1.
        count: i64,
    },
}

impl Paging {
    /// From `startIndex`, `count` and `cursor`.
    ///
    /// # Errors
    /// 400 `invalidValue` for `startIndex` with `cursor`; 400 `invalidCount` for `cursor` with a count below 1.
    pub(super) fn new(
        start_index: Option<i64>,
        count: Option<i64>,
        cursor: Option<String>,
    ) -> Result<Self, Error> {
        let most = i64::try_from(MAX_RESULTS).expect("the limit is a small constant");
        let default = i64::try_from(DEFAULT_PAGE_SIZE).expect("the size is a small constant");
        match (start_index, cursor) {
            (Some(_), Some(_)) => Err(Error::invalid_value("startIndex and cursor cannot be combined")),
            (None, Some(cursor)) => {
                let count = count.unwrap_or(default).min(most);
                if count < 1 {
                    return Err(invalid_count());
                }
                Ok(Self::Cursor { cursor, count })
            }
            (start_index, None) => Ok(Self::Index {
                start_index: start_index.unwrap_or(1).max(1),
                count: count.unwrap_or(default).clamp(0, most),
            }),
        }
    }
}

/// 400 `invalidCount`, for cursors only (RFC 9865).
fn invalid_count() -> Error {
    Error::bad_request(
        ScimType::InvalidCount,
        format!(
            "with a cursor, count must be an integer of at least 1 (a page has at most {MAX_RESULTS} results)"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_paging_is_clamped() {
        for (start_index, count, expected) in [
            (None, None, (1, 100)),
            (Some(1), Some(2), (1, 2)),
            (Some(0), None, (1, 100)),
            (Some(-5), Some(-1), (1, 0)),
            (None, Some(0), (1, 0)),
            (None, Some(1_000_000), (1, 200)),
            (Some(i64::MAX), None, (i64::MAX, 100)),
        ] {
            let (start, most) = expected;
            let expected = Paging::Index { start_index: start, count: most };
            assert_eq!(Paging::new(start_index, count, None), Ok(expected), "{start_index:?} {count:?}");
        }
    }

    #[test]
    fn cursor_paging_requires_a_count_of_at_least_one() {
        let paging = |count| Paging::new(None, count, Some(String::new()));
        let expected = |count| Ok(Paging::Cursor { cursor: String::new(), count });
        assert_eq!(paging(None), expected(100));
        assert_eq!(paging(Some(1)), expected(1));
        assert_eq!(paging(Some(1_000)), expected(200));
        for count in [0, -1, i64::MIN] {
            assert_eq!(paging(Some(count)).unwrap_err().scim_type, Some(ScimType::InvalidCount));
        }
        let both = Paging::new(Some(1), None, Some(String::new())).unwrap_err();
        assert_eq!(both.scim_type, Some(ScimType::InvalidValue));
    }
}

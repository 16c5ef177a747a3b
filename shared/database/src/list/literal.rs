//! The value of a comparison, in the form in which the database compares.

use serde_json::Value;
use time::OffsetDateTime;

use scim::schema::{Attribute, DataType};
use scim::syntax::CompareOp;
use scim::{as_boolean, compared, folded_instant, folded_text, instant};

/// A value to compare with. As in `Filter::matches`, the attribute's type decides, not the value's.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// Folded, unless the attribute is caseExact.
    Text(String),
    Boolean(bool),
    Number(f64),
    /// The instant, and its form in the search document.
    Instant(OffsetDateTime, String),
}

impl Literal {
    /// `None` if the value does not have the attribute's type.
    pub(super) fn new(attribute: &Attribute, value: &Value) -> Option<Self> {
        let value = compared(attribute, value);
        match attribute.data_type {
            DataType::Boolean => as_boolean(&value).map(Self::Boolean),
            DataType::Decimal | DataType::Integer => value.as_f64().map(Self::Number),
            DataType::DateTime => {
                let text = value.as_str()?;
                Some(Self::Instant(instant(text)?, folded_instant(text)?))
            }
            DataType::Complex => None,
            _ if attribute.case_exact => value.as_str().map(|text| Self::Text(text.to_owned())),
            _ => value.as_str().map(|text| Self::Text(folded_text(text))),
        }
    }
}

/// Adapts a comparison with an instant to Postgres, which stores microseconds: an operator and an instant that give
/// the same result for every stored value. `None` if no stored value can be equal.
pub(super) fn in_microseconds(op: CompareOp, instant: OffsetDateTime) -> Option<(CompareOp, OffsetDateTime)> {
    let nanoseconds = instant.unix_timestamp_nanos();
    let whole = nanoseconds.div_euclid(1000) * 1000;
    // An offset can move the instant outside the calendar, where no value is stored.
    let latest = time::macros::datetime!(9999-12-31 23:59:59.999999 UTC);
    let floor = OffsetDateTime::from_unix_timestamp_nanos(whole).unwrap_or(match nanoseconds {
        ..0 => time::macros::datetime!(0000-01-01 00:00 UTC),
        _ => latest,
    });
    if whole == nanoseconds {
        return Some((op, floor));
    }
    match op {
        CompareOp::Greater | CompareOp::GreaterOrEqual => Some((CompareOp::Greater, floor)),
        CompareOp::Less | CompareOp::LessOrEqual => Some((CompareOp::LessOrEqual, floor)),
        _ => None,
    }
}

/// The smallest text that is greater than every text with this prefix, by code points; `None` if no such text exists.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn instants_finer_than_microseconds_compare_as_between_two() {
        let (fine, whole) =
            (datetime!(2026-01-01 0:00:00.000001500 UTC), datetime!(2026-01-01 0:00:00.000001 UTC));
        for (op, expected) in [
            (CompareOp::Equal, None),
            (CompareOp::NotEqual, None),
            (CompareOp::Greater, Some(CompareOp::Greater)),
            (CompareOp::GreaterOrEqual, Some(CompareOp::Greater)),
            (CompareOp::Less, Some(CompareOp::LessOrEqual)),
            (CompareOp::LessOrEqual, Some(CompareOp::LessOrEqual)),
        ] {
            assert_eq!(in_microseconds(op, fine), expected.map(|op| (op, whole)), "{op}");
            assert_eq!(in_microseconds(op, whole), Some((op, whole)), "{op}");
        }
    }

    #[test]
    fn instants_at_the_ends_of_the_calendar_are_accepted() {
        for text in ["9999-12-31T23:59:59.9999999-23:59", "0000-01-01T00:00:00+23:59"] {
            let instant = OffsetDateTime::parse(text, &Rfc3339).unwrap();
            assert!(in_microseconds(CompareOp::Less, instant).is_some(), "{text}");
        }
    }

    #[test]
    fn texts_with_a_prefix_sort_before_its_successor() {
        for (prefix, expected) in [
            ("a", Some("b")),
            ("ab", Some("ac")),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(after_prefix(prefix).as_deref(), expected, "{prefix:?}");
        }
    }
}

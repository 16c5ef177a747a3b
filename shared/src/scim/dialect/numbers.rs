//! Numbers as text, text as numbers, and integers with a fraction of zero: converted where no digit is lost.
//!
//! Before it: a value that is not of its attribute's type. After it: one that is, or a refusal. All is compared by decimal
//! digits, so that nothing is rounded on the way.

use serde_json::{Number, Value};

/// The largest integer up to which a 64-bit float holds every one (2^53): beyond it, digits may be gone already.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// An integer (RFC 7643 §2.3.4): also `3.0`, `3e0` and `"3"`.
pub(in crate::scim) fn integer(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) if number.is_f64() => integer_of(number),
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => Digits::read(text)?.integer(),
        _ => None,
    }
}

/// A decimal number (RFC 7643 §2.3.3): also `"2.5"`.
pub(in crate::scim) fn decimal(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => {
            let digits = Digits::read(text)?;
            digits.integer().or_else(|| {
                let number = Number::from_f64(text.trim().parse().ok()?)?;
                (Digits::read(&number.to_string())? == digits).then_some(Value::Number(number))
            })
        }
        _ => None,
    }
}

/// A number as text, as people write it: `5` for `5.0` too. None where digits may have been lost before.
pub(in crate::scim) fn text(number: &Number) -> Option<String> {
    match number.as_f64().filter(|_| number.is_f64()) {
        None => Some(number.to_string()),
        Some(float) if float.abs() > LARGEST_EXACT => None,
        Some(_) => match integer_of(number) {
            Some(integer) => Some(integer.to_string()),
            None => Some(number.to_string()),
        },
    }
}

/// A number to compare with, which need not be one that is kept.
pub(in crate::scim) fn compared(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim()).ok().map(Value::Number)
}

/// Whether a number is written as an integer: the reader makes a float of one that 64 bits do not hold.
pub(in crate::scim) fn is_large_integer(literal: &str, read: f64) -> bool {
    read != 0.0 && literal.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn integer_of(number: &Number) -> Option<Value> {
    let float = number.as_f64().filter(|float| float.abs() <= LARGEST_EXACT)?;
    if float == 0.0 { Some(Value::from(0)) } else { Digits::read(&number.to_string())?.integer() }
}

/// A number by its digits: `digits × 10^exponent`, without zeros at either end. Zero has no digits.
#[derive(PartialEq, Eq)]
struct Digits {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Digits {
    /// None for what is no number of JSON (RFC 8259 §6).
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        serde_json::from_str::<Number>(text).ok()?;
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
            None => (text, 0_i64),
        };
        let unsigned = mantissa.trim_start_matches('-');
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_end_matches('0');
        let shift =
            i64::try_from(all.len() - significant.len()).ok()? - i64::try_from(fraction.len()).ok()?;
        let digits = significant.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { is_negative: false, digits, exponent: 0 });
        }
        Some(Self { is_negative: mantissa.starts_with('-'), digits, exponent: exponent.checked_add(shift)? })
    }

    /// The integer, if it is one that 64 bits hold.
    fn integer(&self) -> Option<Value> {
        // Twenty digits are the most of 64 bits.
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros <= 20)?;
        let sign = if self.is_negative { "-" } else { "" };
        let digits = if self.digits.is_empty() { "0" } else { &self.digits };
        let text = format!("{sign}{digits}{}", "0".repeat(zeros));
        text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from)).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_are_read_where_no_digit_is_lost() {
        for (given, expected) in [
            (json!(3), Some(json!(3))),
            (json!(3.0), Some(json!(3))),
            (json!(-3.0), Some(json!(-3))),
            (json!(-0.0), Some(json!(0))),
            (json!(3e2), Some(json!(300))),
            (json!("3"), Some(json!(3))),
            (json!("3.0"), Some(json!(3))),
            (json!("3e0"), Some(json!(3))),
            (json!("30e-1"), Some(json!(3))),
            (json!("-0"), Some(json!(0))),
            (json!("0.00"), Some(json!(0))),
            (json!(" 3 "), Some(json!(3))),
            (json!("9007199254740993"), Some(json!(9_007_199_254_740_993_i64))),
            (json!("9007199254740993.0"), Some(json!(9_007_199_254_740_993_i64))),
            (json!("-9223372036854775808"), Some(json!(i64::MIN))),
            (json!("18446744073709551615"), Some(json!(u64::MAX))),
            (json!("18446744073709551616"), None),
            (json!("1e18"), Some(json!(1_000_000_000_000_000_000_i64))),
            (json!("1e999999999999"), None),
            (json!(1.5), None),
            (json!(1e300), None),
            (json!("1.5"), None),
            (json!("1.0000000000000000000001"), None),
            (json!("3px"), None),
            (json!("0x3"), None),
            (json!("+3"), None),
            (json!("NaN"), None),
            (json!(true), None),
            (json!([3]), None),
        ] {
            assert_eq!(integer(&given), expected, "{given}");
        }
    }

    #[test]
    fn decimals_are_read_where_no_digit_is_lost() {
        for (given, expected) in [
            (json!(2.5), Some(json!(2.5))),
            (json!(3), Some(json!(3))),
            (json!("2.5"), Some(json!(2.5))),
            (json!("2.50"), Some(json!(2.5))),
            (json!("-0.1"), Some(json!(-0.1))),
            (json!("3"), Some(json!(3))),
            (json!("1e30"), Some(json!(1e30))),
            (json!("0.1234567890123456789"), None),
            (json!("1e400"), None),
            (json!("2,5"), None),
            (json!("inf"), None),
            (json!(false), None),
        ] {
            assert_eq!(decimal(&given), expected, "{given}");
        }
    }

    #[test]
    fn numbers_become_the_text_that_people_write() {
        for (given, expected) in [
            ("5", Some("5")),
            ("-12", Some("-12")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("5.0", Some("5")),
            ("-0.0", Some("0")),
            ("2.5", Some("2.5")),
            ("1e3", Some("1000")),
            ("1e300", None),
        ] {
            let number: Number = serde_json::from_str(given).unwrap();
            assert_eq!(text(&number).as_deref(), expected, "{given}");
        }
    }
}

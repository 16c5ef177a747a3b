//! Lossless conversion between numbers and text, and of integers with a zero fraction (`3.0`). Numbers are compared by
//! their decimal digits, so that nothing is rounded.

use serde_json::{Number, Value};

/// The largest integer up to which a 64-bit float represents every integer (2^53). Beyond it, digits may be lost.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// An integer (RFC 7643 §2.3.4): also `3.0`, `3e0` and `"3"`.
pub(crate) fn integer(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) if number.is_f64() => integer_of(number),
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => Digits::read(text)?.integer(),
        _ => None,
    }
}

/// A decimal number (RFC 7643 §2.3.3): also `"2.5"`.
pub(crate) fn decimal(value: &Value) -> Option<Value> {
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

/// A number as text, in its usual form: `5` for `5.0`. `None` if the float may have lost digits.
pub(crate) fn text(number: &Number) -> Option<String> {
    match number.as_f64().filter(|_| number.is_f64()) {
        None => Some(number.to_string()),
        Some(float) if float.abs() > LARGEST_EXACT => None,
        Some(_) => match integer_of(number) {
            Some(integer) => Some(integer.to_string()),
            None => Some(number.to_string()),
        },
    }
}

/// A number to compare with. It may be one that could not be stored exactly.
pub(crate) fn compared(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim()).ok().map(Value::Number)
}

fn integer_of(number: &Number) -> Option<Value> {
    let float = number.as_f64().filter(|float| float.abs() <= LARGEST_EXACT)?;
    if float == 0.0 { Some(Value::from(0)) } else { Digits::read(&number.to_string())?.integer() }
}

/// A number as decimal digits: `digits × 10^exponent`, without zeros at either end. Zero has no digits.
#[derive(PartialEq, Eq)]
struct Digits {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Digits {
    /// Parses a JSON number (RFC 8259 §6).
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

    /// The integer, if it fits 64 bits.
    fn integer(&self) -> Option<Value> {
        // 64-bit integers have at most 20 digits.
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
    fn integers_are_accepted_only_without_loss_of_digits() {
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
    fn decimals_are_accepted_only_without_loss_of_digits() {
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
    fn numbers_are_written_as_text_in_their_usual_form() {
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

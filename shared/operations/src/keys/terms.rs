//! The terms of a key: how long it is valid, and from which networks.

use std::str::FromStr;

use platform::network::Network;
use time::Duration;

/// The longest lifetime, in days.
const MAX_DAYS: i64 = 3_650;
/// The maximum number of networks of a key.
const MAX_NETWORKS: usize = 64;

/// How long a key is valid. By default it is a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(Option<Duration>);

impl Lifetime {
    /// The duration; `None` if the key does not expire.
    #[must_use]
    pub fn get(self) -> Option<Duration> {
        self.0
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self(Some(Duration::days(365)))
    }
}

impl FromStr for Lifetime {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "must be a duration such as 30d, 12w or 1y (days, weeks, years), at most 10y, or never";
        if text == "never" {
            return Ok(Self(None));
        }
        let (number, unit) = match text.strip_suffix(['d', 'w', 'y']) {
            Some(number) => (number, text.chars().next_back()),
            None => (text, None),
        };
        let days = match unit {
            Some('y') => 365,
            Some('w') => 7,
            _ => 1,
        };
        // `parse` alone would accept a sign.
        let digits = Some(number).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse::<i64>().ok()).ok_or(FORM)?;
        let days = number.checked_mul(days).filter(|days| (1..=MAX_DAYS).contains(days)).ok_or(FORM)?;
        Ok(Self(Some(Duration::days(days))))
    }
}

/// The networks that a key may be used from. By default it is used from anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// In CIDR notation, as they are stored; empty: from anywhere.
    #[must_use]
    pub fn stored(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "any" {
            return Ok(Self::default());
        }
        let mut networks: Vec<Network> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
        networks.sort_unstable();
        networks.dedup();
        if networks.len() > MAX_NETWORKS {
            return Err(format!("must be at most {MAX_NETWORKS} networks"));
        }
        Ok(Self(networks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_days_weeks_or_years() {
        for (text, days) in [
            ("30d", Some(30)),
            ("90", Some(90)),
            ("12w", Some(84)),
            ("1y", Some(365)),
            ("10y", Some(3_650)),
            ("never", None),
        ] {
            assert_eq!(text.parse(), Ok(Lifetime(days.map(Duration::days))), "{text}");
        }
        assert_eq!("1y".parse(), Ok(Lifetime::default()));
    }

    #[test]
    fn an_invalid_lifetime_is_rejected() {
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1.5y",
            "1m",
            "11y",
            "99999999999999999999d",
            "9223372036854775807y",
            "Never",
            "1ä",
        ] {
            let said = text.parse::<Lifetime>().unwrap_err();
            assert!(said.contains("30d, 12w or 1y"), "{text}");
        }
    }

    #[test]
    fn networks_are_sorted_and_stored_in_their_canonical_form() {
        for (text, stored) in [
            ("any", &[][..]),
            ("2001:DB8::/32, 203.0.113.0/24,203.0.113.0/24", &["203.0.113.0/24", "2001:db8::/32"]),
            ("203.0.113.7", &["203.0.113.7/32"]),
        ] {
            assert_eq!(text.parse::<Networks>().unwrap().stored(), stored, "{text}");
        }
        let many = vec!["203.0.113.7"; 65].join(",");
        assert!(many.parse::<Networks>().is_ok(), "repetitions do not count");
        let many: Vec<String> = (0..65).map(|n| format!("203.0.113.{n}")).collect();
        assert!(many.join(",").parse::<Networks>().is_err());
        assert!("203.0.113.0/24,".parse::<Networks>().is_err());
    }
}

//! The settings of a tenant's mail. Texts that may be empty are empty by default.

use serde::{Deserialize, Serialize};

use crate::link::{self, Schemes};

/// The maximum length of a name, in characters.
const MAX_NAME: usize = 100;

/// Which mail a tenant's users get, and how it looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mail {
    /// Which assignments are mailed.
    pub assignment_mail: AssignmentMail,
    /// Which accounts get a welcome mail.
    pub welcome: Welcome,
    /// The sender.
    pub mail_sender: Address,
    /// The address for replies.
    pub mail_reply_to: Address,
    /// The company's name.
    pub brand_name: BrandName,
    /// The company's logo.
    pub brand_logo: Logo,
    /// The company's colour.
    pub brand_colour: BrandColour,
    /// The language for users whose locale is not supported.
    pub locale: Locale,
    /// The learning platform's home page.
    pub learning_url: LearningUrl,
}

/// Which assignments are mailed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssignmentMail {
    /// Only a user's first.
    #[default]
    First,
    /// Every one.
    Every,
    /// The first, and after it one mail a day for all.
    Digest,
}

/// Which accounts get a welcome mail. Accounts that the identity provider creates never do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Welcome {
    /// Those created by hand.
    #[default]
    Manual,
    /// None.
    None,
}

/// A language that mail is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Locale {
    /// English.
    #[default]
    En,
    /// German.
    De,
    /// French.
    Fr,
    /// Spanish.
    Es,
}

impl Locale {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::En, Self::De, Self::Fr, Self::Es];

    /// Its subtag (BCP 47).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
        }
    }

    /// The language of a locale such as `de-AT` or `fr_CA`, if it is one of these.
    #[must_use]
    pub fn of(locale: &str) -> Option<Self> {
        let language = locale.trim().split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(language))
    }
}

/// Defines a type of text that is checked when it is read.
macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $check:path) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let text = text.trim();
                if !text.is_empty() {
                    $check(text)?;
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl $name {
            /// The text, if it is set.
            #[must_use]
            pub fn get(&self) -> Option<&str> {
                Some(self.0.as_str()).filter(|text| !text.is_empty())
            }
        }
    };
}

text!(
    /// A mail address, with or without a name: `Learning <learning@acme.example>`.
    Address,
    address
);
text!(
    /// A name, on one line.
    BrandName,
    name
);
text!(
    /// The `https` URL of a picture.
    Logo,
    logo
);
text!(
    /// A colour as in CSS: `#1f5fd6`.
    BrandColour,
    colour
);
text!(
    /// An `http` or `https` URL.
    LearningUrl,
    page
);

impl Address {
    /// The name, if there is one, and the address.
    #[must_use]
    pub fn parts(&self) -> Option<(Option<&str>, &str)> {
        self.get().map(split)
    }
}

impl BrandColour {
    /// Red, green and blue.
    #[must_use]
    pub fn rgb(&self) -> Option<[u8; 3]> {
        let part = |at| u8::from_str_radix(self.0.get(at)?, 16).ok();
        Some([part(1..3)?, part(3..5)?, part(5..7)?])
    }
}

fn split(text: &str) -> (Option<&str>, &str) {
    match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        None => (None, text),
        Some((name, address)) => {
            let name = name.trim().trim_matches('"').trim();
            (Some(name).filter(|name| !name.is_empty()), address.trim())
        }
    }
}

fn address(text: &str) -> Result<(), &'static str> {
    let (name, address) = split(text);
    let what = "it must be a mail address in ASCII, with or without a name: Learning <learning@acme.example>";
    let dotted = |text: &str, odd: &str| {
        text.split('.').all(|atom| {
            !atom.is_empty() && atom.chars().all(|c| c.is_ascii_alphanumeric() || odd.contains(c))
        })
    };
    // RFC 5322 §3.4.1, without quotes; RFC 1123 §2.1.
    let valid = address.len() <= 254
        && address.split_once('@').is_some_and(|(local, domain)| {
            local.len() <= 64
                && dotted(local, "!#$%&'*+-/=?^_`{|}~")
                && dotted(domain, "-")
                && domain.split('.').all(|label| !label.starts_with('-') && !label.ends_with('-'))
        });
    if !valid || name.is_some_and(|name| name.contains(['<', '>', '"', '\\'])) {
        return Err(what);
    }
    name.map_or(Ok(()), self::name)
}

fn name(text: &str) -> Result<(), &'static str> {
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err("it must be a name on one line");
    }
    if text.chars().count() > MAX_NAME { Err("it must have at most 100 characters") } else { Ok(()) }
}

fn logo(text: &str) -> Result<(), &'static str> {
    url(
        text,
        Schemes::Https,
        "it must be an https URL without a user name, a password, spaces or invisible characters",
    )
}

fn page(text: &str) -> Result<(), &'static str> {
    url(
        text,
        Schemes::HttpOrHttps,
        "it must be an http or https URL without a user name, a password, spaces or invisible characters",
    )
}

fn url(text: &str, schemes: Schemes, otherwise: &'static str) -> Result<(), &'static str> {
    link::parse(text, schemes).map(drop).map_err(|_| otherwise)
}

fn colour(text: &str) -> Result<(), &'static str> {
    let hex = text
        .strip_prefix('#')
        .is_some_and(|hex| hex.len() == 6 && hex.chars().all(|c| c.is_ascii_hexdigit()));
    hex.then_some(()).ok_or("it must be a colour such as #1f5fd6")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn absent_settings_have_their_defaults_and_present_ones_are_kept() {
        assert_eq!(serde_json::from_value::<Settings>(json!({})).unwrap(), Settings::default());
        let stored = json!({
            "assignment_mail": "digest", "welcome": "none", "locale": "de", "requests_per_second": 7,
            "mail_sender": "ACME Lernen <lernen@acme.example>", "brand_colour": "#FFcc00",
        });
        let settings: Settings = serde_json::from_value(stored).unwrap();
        assert_eq!(settings.limits.requests_per_second.get(), 7);
        let mail = settings.mail;
        assert_eq!(
            (mail.assignment_mail, mail.welcome, mail.locale),
            (AssignmentMail::Digest, Welcome::None, Locale::De)
        );
        assert_eq!(mail.mail_sender.parts(), Some((Some("ACME Lernen"), "lernen@acme.example")));
        assert_eq!(mail.brand_colour.rgb(), Some([255, 204, 0]));
        assert_eq!((mail.brand_name.get(), mail.brand_colour.get()), (None, Some("#FFcc00")));
    }

    #[test]
    fn invalid_values_are_rejected() {
        let long = "x".repeat(101);
        for (key, values) in [
            (
                "mail_sender",
                vec![
                    "nobody",
                    "a@b@c",
                    "a b@c.example",
                    "<a@c.example",
                    "a@-c.example",
                    "a@ä.example",
                    "A\r\nBcc: x <a@c.example>",
                    "\"A\\\" <a@c.example>",
                ],
            ),
            ("mail_reply_to", vec!["a@", "@c.example", "a..b@c.example"]),
            ("brand_name", vec!["two\nlines", &long]),
            (
                "brand_logo",
                vec![
                    "http://c.example/l.png",
                    "javascript:alert(1)",
                    "https://c.example/a b",
                    "data:image/png;base64,AA",
                ],
            ),
            ("brand_colour", vec!["blue", "#12345", "#1234567", "#12345g", "#123456;}"]),
            (
                "learning_url",
                vec![
                    "ftp://c.example",
                    "c.example",
                    "https://me:secret@c.example",
                    "https://me@c.example",
                    "https:c.example",
                ],
            ),
            ("locale", vec!["it", "EN", ""]),
            ("assignment_mail", vec!["never", ""]),
            ("welcome", vec!["scim", "all"]),
        ] {
            for value in values {
                assert!(serde_json::from_value::<Settings>(json!({ key: value })).is_err(), "{key}={value}");
            }
        }
    }

    #[test]
    fn a_locale_is_recognized_by_its_language() {
        for (text, expected) in [
            ("de", Some(Locale::De)),
            ("DE_at", Some(Locale::De)),
            ("fr-CA", Some(Locale::Fr)),
            ("den", None),
            ("", None),
            ("it-IT", None),
        ] {
            assert_eq!(Locale::of(text), expected, "{text}");
        }
    }
}

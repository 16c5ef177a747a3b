//! The query string. It is parsed strictly, so that a malformed filter is never ignored. SCIM ignores unknown
//! parameters (RFC 7644 §3.4.2); reports reject them.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use scim::{Error, Projection};

use super::response::Refusal;

/// The decoded parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a query string. `+` is a space, as in forms, unless the client encodes spaces as `%20`: then it is a
    /// literal plus (RFC 3986), as in `filter=userName%20eq%20"a+b@x.example"`.
    ///
    /// # Errors
    /// 400 for invalid percent-encoding and for invalid UTF-8.
    pub fn parse(raw: &str) -> Result<Self, Error> {
        let plus = if raw.contains("%20") { b'+' } else { b' ' };
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, plus)?, decode(value, plus)?))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The parameter with this name, case-insensitive: an ignored `Filter` would return all users.
    ///
    /// # Errors
    /// 400 `invalidValue` if it is given twice.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut values =
            self.0.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(String::as_str)),
            _ => Err(Error::invalid_value(format!("the parameter {name} is given more than once"))),
        }
    }

    /// The parameters under their canonical names; `business-unit` and `businessUnit` are `business_unit`. Unknown or
    /// empty parameters are rejected, because ignoring a misspelt filter would return all users.
    ///
    /// # Errors
    /// 400 `invalidValue` that names the parameter if it is unknown, is empty, or contains U+0000.
    pub fn known(&self, names: &[&str]) -> Result<Self, Error> {
        let bare = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
        let pairs = self.0.iter().map(|(given, value)| {
            let Some(name) = names.iter().find(|name| bare(name) == bare(given)) else {
                let is_plain = given.len() <= 50
                    && given.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
                let given = if is_plain { given } else { "in the query string" };
                return Err(Error::invalid_value(format!(
                    "unknown parameter {given}; the parameters are: {}",
                    names.join(", ")
                )));
            };
            if value.is_empty() {
                return Err(Error::invalid_value(format!("the parameter {name} must not be empty")));
            }
            if value.contains('\0') {
                return Err(Error::invalid_value(format!("the parameter {name} must not contain U+0000")));
            }
            Ok(((*name).to_owned(), value.clone()))
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// `attributes` and `excludedAttributes` (RFC 7644 §3.9).
    ///
    /// # Errors
    /// 400 `invalidValue` if both are given.
    pub fn projection(&self) -> Result<Projection, Error> {
        Projection::parse(self.get("attributes")?, self.get("excludedAttributes")?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default())?)
    }
}

/// Decodes percent-encoding; `plus` replaces `+`.
fn decode(text: &str, plus: u8) -> Result<String, Error> {
    let malformed = || Error::invalid_syntax("the query string is not valid percent-encoding of UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => plus,
            b'%' => {
                let digits = (rest.next().and_then(hex), rest.next().and_then(hex));
                let (Some(high), Some(low)) = digits else { return Err(malformed()) };
                high << 4 | low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("filter=userName%20eq%20%22%C3%A9%22&&count=2&empty=&bare").unwrap();
        for (name, value) in [
            ("filter", Some("userName eq \"é\"")),
            ("COUNT", Some("2")),
            ("empty", Some("")),
            ("bare", Some("")),
            ("x", None),
        ] {
            assert_eq!(query.get(name), Ok(value), "{name}");
        }
    }

    #[test]
    fn plus_is_a_space_unless_spaces_are_percent_encoded() {
        for (raw, filter) in [
            ("filter=userName+eq+%22a%2Bb@x.example%22", "userName eq \"a+b@x.example\""),
            ("filter=userName%20eq%20%22a+b@x.example%22", "userName eq \"a+b@x.example\""),
            ("filter=userName%20eq%20%22a%2Bb@x.example%22", "userName eq \"a+b@x.example\""),
            ("filter=title+pr", "title pr"),
            ("attributes=a,%20b&filter=%22a+b%22", "\"a+b\""),
        ] {
            assert_eq!(Query::parse(raw).unwrap().get("filter"), Ok(Some(filter)), "{raw}");
        }
    }

    #[test]
    fn unknown_and_empty_parameters_are_rejected() {
        let known = |raw: &str| Query::parse(raw).unwrap().known(&["business_unit", "user"]);
        for raw in ["business_unit=A", "business-unit=A", "businessUnit=A", "BUSINESS_UNIT=A"] {
            assert_eq!(known(raw).unwrap().get("business_unit"), Ok(Some("A")), "{raw}");
        }
        for (raw, said) in [
            ("busines_unit=A", "unknown parameter busines_unit"),
            ("a%20b=A", "unknown parameter in the query string"),
            ("user=", "the parameter user must not be empty"),
            ("user=%00", "the parameter user must not contain"),
        ] {
            assert!(known(raw).unwrap_err().detail.starts_with(said), "{raw}");
        }
        assert!(known("business-unit=A&businessUnit=B").unwrap().get("business_unit").is_err());
    }

    #[test]
    fn invalid_encoding_is_rejected() {
        for raw in ["filter=%", "filter=%2", "filter=%zz", "filter=%+1", "filter=%ff", "%C3=x"] {
            assert_eq!(Query::parse(raw).unwrap_err().status, 400, "{raw}");
        }
    }
}

//! The `display` values that a client sends for the members of a group. A value is stored if it differs from the user's
//! own name.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use crate::error::Error;
use crate::schema::MAX_LENGTH;
use crate::value::lenient::elements;

/// The `display` of members by id; an empty text means the user's own name.
pub type Displays = BTreeMap<Uuid, String>;

/// Collects the `display` values from the value of `members`. A `display` that is not a string is ignored.
///
/// # Errors
/// 400 `invalidValue` for a text that is too long.
pub(super) fn collect(displays: &mut Displays, value: &Value) -> Result<(), Error> {
    for (position, element) in elements(value).iter().enumerate() {
        let part = |wanted: &str| {
            let mut named = element.as_object()?.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.find_map(|(_, value)| value.as_str())
        };
        let (Some(id), Some(display)) = (part("value").and_then(crate::parse_id), part("display")) else {
            continue;
        };
        displays.insert(id, checked(display, &format!("members[{position}].display"))?.to_owned());
    }
    Ok(())
}

/// Sets the `display` of these members to one value; `None` resets it to the user's own name.
///
/// # Errors
/// 400 `invalidValue` if the value is not a string or is too long.
pub(super) fn set(displays: &mut Displays, ids: Vec<Uuid>, value: Option<&Value>) -> Result<(), Error> {
    let display = match value {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => checked(text, "members.display")?,
        Some(_) => return Err(Error::invalid_value("members.display must be a string")),
    };
    // Skip nil, which stands for a text that is not an id.
    displays.extend(ids.into_iter().filter(|id| !id.is_nil()).map(|id| (id, display.to_owned())));
    Ok(())
}

fn checked<'t>(display: &'t str, path: &str) -> Result<&'t str, Error> {
    if display.chars().count() > MAX_LENGTH {
        let detail = format!("{path} has more than the {MAX_LENGTH} characters allowed");
        return Err(Error::invalid_value(detail));
    }
    Ok(display)
}

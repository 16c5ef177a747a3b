//! What a client calls the members of a group: the `display` beside their ids, which is kept if it is not the person's own name.
//!
//! Before it: the value of `members`, whose ids `members.rs` reads. After it: the fold, which knows who is a member and what
//! people are called.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use crate::scim::dialect::elements;
use crate::scim::error::Error;
use crate::scim::schema::MAX_LENGTH;

/// What members are called, by their ids; an empty text is the person's own name.
pub type Displays = BTreeMap<Uuid, String>;

/// Adds what the value of `members` calls them. What is no text says nothing.
///
/// # Errors
/// 400 `invalidValue` for a text that is too long.
pub(super) fn collect(displays: &mut Displays, value: &Value) -> Result<(), Error> {
    for (position, element) in elements(value).iter().enumerate() {
        let part = |wanted: &str| {
            let mut named = element.as_object()?.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.find_map(|(_, value)| value.as_str())
        };
        let (Some(id), Some(display)) = (part("value").and_then(crate::id::parse), part("display")) else {
            continue;
        };
        displays.insert(id, checked(display, &format!("members[{position}].display"))?.to_owned());
    }
    Ok(())
}

/// Sets what these members are called to one value; none gives them back their own names.
///
/// # Errors
/// 400 `invalidValue` for what is no text, or too long a one.
pub(super) fn set(displays: &mut Displays, ids: Vec<Uuid>, value: Option<&Value>) -> Result<(), Error> {
    let display = match value {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => checked(text, "members.display")?,
        Some(_) => return Err(Error::invalid_value("members.display must be a string")),
    };
    // What cannot be an id is nobody's.
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

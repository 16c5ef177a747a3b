//! How long a tenant's personal data is kept.

use serde::{Deserialize, Serialize};

/// How long what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Entries of the mail ledger, from the decision on.
    pub retain_mail_days: Days,
    /// Completed assignments, from the completion on.
    pub retain_assignments_days: Days,
    /// Archived users, from the deactivation on; then they are deleted.
    pub retain_archived_days: Days,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            retain_mail_days: Days(400),
            retain_assignments_days: Days::default(),
            retain_archived_days: Days::default(),
        }
    }
}

/// A number of days; 0 means without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Days(u16);

/// The maximum number of days: about a hundred years.
const MAX: u16 = 36_500;

impl Days {
    /// The number, if there is a limit.
    #[must_use]
    pub fn get(self) -> Option<i32> {
        (self.0 > 0).then(|| self.0.into())
    }
}

impl TryFrom<u32> for Days {
    type Error = &'static str;

    fn try_from(days: u32) -> Result<Self, Self::Error> {
        match u16::try_from(days) {
            Ok(days) if days <= MAX => Ok(Self(days)),
            _ => Err("it must be a number of days, at most 36500; 0 means without limit"),
        }
    }
}

impl From<Days> for u32 {
    fn from(days: Days) -> Self {
        days.0.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::settings::Settings;

    #[test]
    fn days_are_limited() {
        for (days, expected) in
            [(json!(0), Some(None)), (json!(30), Some(Some(30))), (json!(36_501), None), (json!(-1), None)]
        {
            let settings = serde_json::from_value::<Settings>(json!({ "retain_archived_days": days }));
            assert_eq!(
                settings.ok().map(|settings| settings.retention.retain_archived_days.get()),
                expected,
                "{days}"
            );
        }
        let defaults = Settings::default().retention;
        assert_eq!((defaults.retain_mail_days.get(), defaults.retain_archived_days.get()), (Some(400), None));
    }
}

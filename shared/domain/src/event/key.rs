//! `key.expiring`: an API key will expire soon.

use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Event, SOURCE};

/// The type of an event that reports that an API key will expire.
pub const KEY_EXPIRING: &str = "key.expiring";

/// The `data` of a `key.expiring` event: ids and times, nothing of the secret part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpiringKey {
    /// The key's id.
    pub id: Uuid,
    /// Its public part.
    pub prefix: String,
    /// When it expires.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// How many days are left, rounded up.
    pub days_left: i64,
}

impl ExpiringKey {
    /// A key that expires then, seen at `now`.
    #[must_use]
    pub fn new(id: Uuid, prefix: String, expires_at: OffsetDateTime, now: OffsetDateTime) -> Self {
        let day = Duration::DAY.whole_seconds();
        let left = (expires_at - now).whole_seconds().max(0);
        Self { id, prefix, expires_at, days_left: (left + day - 1) / day }
    }

    /// The event of the warning that is given this many days before the end. Its id is derived from the key and the
    /// warning.
    #[must_use]
    pub fn event(&self, tenant: &str, warning: i16, at: OffsetDateTime) -> Event {
        Event {
            specversion: "1.0".to_owned(),
            id: format!("{}.{KEY_EXPIRING}.{warning}", self.id),
            source: SOURCE.to_owned(),
            kind: KEY_EXPIRING.to_owned(),
            subject: Some(self.id.to_string()),
            time: Some(at),
            datacontenttype: Some("application/json".to_owned()),
            tenant: Some(tenant.to_owned()),
            commandid: None,
            requestid: None,
            sequence: None,
            data: json!({ "key": self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn days_are_rounded_up() {
        let end = datetime!(2026-12-31 12:00 UTC);
        for (now, days) in [
            (datetime!(2026-12-01 12:00 UTC), 30),
            (datetime!(2026-12-01 12:01 UTC), 30),
            (datetime!(2026-12-02 12:00 UTC), 29),
            (datetime!(2026-12-31 11:59:59 UTC), 1),
            (datetime!(2026-12-31 12:00 UTC), 0),
            (datetime!(2027-01-31 12:00 UTC), 0),
        ] {
            assert_eq!(ExpiringKey::new(Uuid::nil(), String::new(), end, now).days_left, days, "{now}");
        }
    }

    #[test]
    fn the_event_names_the_key_and_its_end() {
        let at = datetime!(2026-12-01 12:00 UTC);
        let key =
            ExpiringKey::new(Uuid::nil(), "abcdefghijkl".to_owned(), datetime!(2026-12-31 12:00 UTC), at);
        let event = key.event("acme", 30, at);
        assert_eq!(event.id, "00000000-0000-0000-0000-000000000000.key.expiring.30");
        assert_eq!(
            event.data,
            json!({ "key": {
                "id": "00000000-0000-0000-0000-000000000000", "prefix": "abcdefghijkl",
                "expiresAt": "2026-12-31T12:00:00Z", "daysLeft": 30
            } })
        );
    }
}

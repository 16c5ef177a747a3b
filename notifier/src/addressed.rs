//! An event and the tenant whose name it carries.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::intake::Incoming;
use crate::store::received::Key;

/// An event whose tenant has been resolved.
#[derive(Clone, Debug)]
pub struct Addressed {
    /// The tenant's id.
    pub tenant: Uuid,
    /// The event.
    pub incoming: Incoming,
    /// If the event was parked: the number of attempts since then, and when it was parked.
    pub parked: Option<(i32, OffsetDateTime)>,
}

impl Addressed {
    /// The event's deduplication key.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.tenant, self.incoming.event.source.clone(), self.incoming.event.id.clone())
    }
}

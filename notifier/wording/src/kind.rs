//! The kinds of mail.

/// A kind of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Sent when an account was created manually.
    Welcome,
    /// Sent for the user's first assignment.
    FirstAssignment,
    /// Sent for an assignment after the first.
    Assignment,
    /// The assignments after the first, collected once a day.
    Digest,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Welcome, Self::FirstAssignment, Self::Assignment, Self::Digest];

    /// Whether the user can unsubscribe from it.
    #[must_use]
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Assignment | Self::Digest)
    }

    /// The stored name, which is also the name of its templates.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::FirstAssignment => "first_assignment",
            Self::Assignment => "assignment",
            Self::Digest => "digest",
        }
    }

    /// Parses the stored name.
    #[must_use]
    pub fn stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_stored_under_their_names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::stored(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::stored("reminder"), None);
    }
}

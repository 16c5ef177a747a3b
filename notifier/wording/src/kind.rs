//! The kinds of mail.

/// A kind of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// To somebody whose account was made by hand.
    Welcome,
    /// To somebody to whom content is assigned for the first time.
    FirstAssignment,
    /// Of an assignment after the first.
    Assignment,
    /// Of the assignments after the first, once a day.
    Digest,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Welcome, Self::FirstAssignment, Self::Assignment, Self::Digest];

    /// Whether a person can do without it, and may say so.
    #[must_use]
    pub fn is_optional(self) -> bool {
        matches!(self, Self::Assignment | Self::Digest)
    }

    /// As it is stored, and as its templates are called.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::FirstAssignment => "first_assignment",
            Self::Assignment => "assignment",
            Self::Digest => "digest",
        }
    }

    /// From storage.
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

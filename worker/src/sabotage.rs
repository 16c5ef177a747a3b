//! Faults, for tests: whoever checks that promises are kept must notice when they are not. Only the program
//! `sabotaged-worker` commits them, and only where it is built with the feature `sabotage`; without it each question here is
//! a constant `false`.

#[cfg(feature = "sabotage")]
pub use armed::*;
#[cfg(not(feature = "sabotage"))]
pub(crate) use harmless::*;

#[cfg(not(feature = "sabotage"))]
mod harmless {
    use shared::command::Command;

    pub(crate) const fn acks_before_commit() -> bool {
        false
    }

    pub(crate) const fn ignores_inbox() -> bool {
        false
    }

    pub(crate) const fn ignores_tickets() -> bool {
        false
    }

    pub(crate) const fn ignores_deactivation() -> bool {
        false
    }

    pub(crate) const fn dies_on(_: &Command) -> bool {
        false
    }

    pub(crate) async fn linger() {}
}

#[cfg(feature = "sabotage")]
mod armed {
    use std::sync::OnceLock;
    use std::time::Duration;

    use shared::command::Command;

    /// How long the worker stays where a kill does harm: between a deed and the commit that should have come before it, or
    /// between the commit and the acknowledgement.
    const LINGER: Duration = Duration::from_millis(20);

    static FAULT: OnceLock<Fault> = OnceLock::new();

    #[derive(Debug, PartialEq, Eq)]
    enum Fault {
        ReplyBeforeCommit,
        AckBeforeCommit,
        NoDedup,
        NoTicketCheck,
        NoActiveCheck,
        DieOn(String),
    }

    /// Commits the named fault from now on: `reply-before-commit`, `ack-before-commit`, `no-dedup`, `no-ticket-check`,
    /// `no-active-check` for handing out a create though its user was deactivated since, or `die-on:TEXT` for dying whenever a command with this text in its JSON is about to be decided.
    ///
    /// # Errors
    /// When there is no such fault.
    pub fn arm(name: &str) -> Result<(), String> {
        let fault = match (name, name.strip_prefix("die-on:")) {
            ("reply-before-commit", _) => Fault::ReplyBeforeCommit,
            ("ack-before-commit", _) => Fault::AckBeforeCommit,
            ("no-dedup", _) => Fault::NoDedup,
            ("no-ticket-check", _) => Fault::NoTicketCheck,
            ("no-active-check", _) => Fault::NoActiveCheck,
            (_, Some(text)) if !text.is_empty() => Fault::DieOn(text.to_owned()),
            _ => return Err(format!("there is no fault named {name}")),
        };
        FAULT.set(fault).map_err(|_| "one fault at a time".to_owned())
    }

    fn commits(fault: &Fault) -> bool {
        FAULT.get() == Some(fault)
    }

    pub(crate) fn replies_before_commit() -> bool {
        commits(&Fault::ReplyBeforeCommit)
    }

    pub(crate) fn acks_before_commit() -> bool {
        commits(&Fault::AckBeforeCommit)
    }

    pub(crate) fn ignores_inbox() -> bool {
        commits(&Fault::NoDedup)
    }

    pub(crate) fn ignores_tickets() -> bool {
        commits(&Fault::NoTicketCheck)
    }

    pub(crate) fn ignores_deactivation() -> bool {
        commits(&Fault::NoActiveCheck)
    }

    pub(crate) fn dies_on(command: &Command) -> bool {
        let Some(Fault::DieOn(text)) = FAULT.get() else { return false };
        serde_json::to_string(command).is_ok_and(|json| json.contains(text))
    }

    pub(crate) async fn linger() {
        tokio::time::sleep(LINGER).await;
    }
}

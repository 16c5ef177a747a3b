//! Fault injection: tests use it to prove that the checkers detect broken guarantees. Only the binary
//! `sabotaged-worker`, built with the feature `sabotage`, injects faults. Without the feature every function here
//! returns a constant `false`.

#[cfg(feature = "sabotage")]
pub use armed::*;
#[cfg(not(feature = "sabotage"))]
pub(crate) use harmless::*;

#[cfg(not(feature = "sabotage"))]
mod harmless {
    use domain::command::Command;

    pub(crate) const fn acks_before_commit() -> bool {
        false
    }

    pub(crate) const fn ignores_stored_verdicts() -> bool {
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

    use domain::command::Command;

    /// How long the worker pauses where a kill does harm: between an early action and the commit that should precede
    /// it, or between the commit and the acknowledgement.
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

    /// Injects the named fault from now on: `reply-before-commit`, `ack-before-commit`, `no-dedup`, `no-ticket-check`,
    /// `no-active-check` (a retried create receives the earlier outcome although its user was deactivated since), or
    /// `die-on:TEXT` (the worker dies before it decides a command whose JSON contains this text).
    ///
    /// # Errors
    /// If the fault is unknown, or another fault is set.
    pub fn arm(name: &str) -> Result<(), String> {
        let fault = match (name, name.strip_prefix("die-on:")) {
            ("reply-before-commit", _) => Fault::ReplyBeforeCommit,
            ("ack-before-commit", _) => Fault::AckBeforeCommit,
            ("no-dedup", _) => Fault::NoDedup,
            ("no-ticket-check", _) => Fault::NoTicketCheck,
            ("no-active-check", _) => Fault::NoActiveCheck,
            (_, Some(text)) if !text.is_empty() => Fault::DieOn(text.to_owned()),
            _ => return Err(format!("unknown fault: {name}")),
        };
        FAULT.set(fault).map_err(|_| "only one fault can be set".to_owned())
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

    pub(crate) fn ignores_stored_verdicts() -> bool {
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

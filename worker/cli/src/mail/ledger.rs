//! `rollcall mail list|show|resend`: the mail ledger, and resending a mail from it. The ledger identifies users by id
//! only.

use clap::Args;
use clap::builder::PossibleValuesParser;
use operations::mail::{self, Entry, STATES, Selection};
use serde_json::Value;
use uuid::Uuid;

use crate::context::{self, CliContext, Failure};
use crate::output;

/// Selects entries of the ledger.
#[derive(Args)]
pub struct Which {
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only mail to this user (SCIM id).
    #[arg(long, value_name = "ID", value_parser = context::id)]
    user: Option<Uuid>,
    /// Only this delivery state.
    #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
    state: Option<String>,
    /// The maximum number of entries to list.
    #[arg(long, default_value_t = 50)]
    limit: u16,
}

/// Lists entries, latest first.
pub async fn list(context: &CliContext, which: Which) -> Result<(), Failure> {
    let tenant = match &which.tenant {
        Some(name) => Some(context.operator.tenant(name).await?.id),
        None => None,
    };
    let Which { user, state, limit, .. } = which;
    let entries = mail::list(&context.operator, &Selection { tenant, user, state, limit }).await?;
    if context.json {
        output::json(&entries);
        return Ok(());
    }
    let row = |entry: &Entry| {
        vec![
            entry.id.to_string(),
            entry.tenant.clone(),
            entry.user.to_string(),
            entry.kind.clone(),
            entry.state.clone(),
            entry.attempts.to_string(),
            output::moment(Some(entry.decided_at)),
            entry.why.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let headings = ["id", "tenant", "user", "kind", "state", "attempts", "decided (UTC)", "why"];
    output::table(&headings, entries.iter().map(row).collect(), "no mail");
    Ok(())
}

/// Shows an entry.
pub async fn show(context: &CliContext, id: Uuid) -> Result<(), Failure> {
    let entry = mail::show(&context.operator, id).await?;
    if context.json {
        output::json(&entry);
        return Ok(());
    }
    for (name, value) in output::object(&entry).as_object().into_iter().flatten() {
        match value {
            Value::String(text) => say!("{name:<13} {text}"),
            Value::Null => say!("{name:<13} -"),
            value => say!("{name:<13} {value}"),
        }
    }
    Ok(())
}

/// Makes the notifier send a pending mail now, or a sent or failed one again, with the same Message-ID.
pub async fn resend(context: &CliContext, id: Uuid) -> Result<(), Failure> {
    let resent = mail::resend(&context.operator, id).await?;
    if context.json {
        output::json(&resent);
    } else {
        say!("queued for sending; see `rollcall mail show {id}`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use operations::mail::OPTIONAL;
    use wording::Kind;

    #[test]
    fn the_kinds_that_users_can_unsubscribe_from_have_their_stored_names() {
        assert_eq!(OPTIONAL, [Kind::Assignment, Kind::Digest].map(Kind::as_str));
    }
}

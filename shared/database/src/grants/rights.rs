//! Which service reads and writes which table: the table "who writes what", as data. A new table needs a line here; the
//! end-to-end tests compare this with the tables and their comments.

/// A role of the database: a group without a login, whose members are the database users of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// ingest.
    Ingest,
    /// worker.
    Worker,
    /// notifier.
    Notifier,
    /// The operators' CLI, `rollcall`, for everything but migrations.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Worker, Self::Notifier, Self::Operator];

    /// The name in PostgreSQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "rollcall_ingest",
            Self::Worker => "rollcall_worker",
            Self::Notifier => "rollcall_notifier",
            Self::Operator => "rollcall_operator",
        }
    }

    /// How the comment of a table names the program as a writer.
    #[must_use]
    pub fn writer(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Worker => "worker",
            Self::Notifier => "notifier",
            Self::Operator => "`rollcall",
        }
    }
}

/// What a role may do with a relation besides reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Insert rows.
    Insert,
    /// Change all columns.
    Update,
    /// Change these columns.
    UpdateOf(&'static [&'static str]),
    /// Delete rows.
    Delete,
}

/// A table or view, who reads it, and who writes it. Writers read it too.
#[derive(Clone, Copy, Debug)]
pub struct Relation {
    /// Its schema; `None` for that of the tables.
    pub schema: Option<&'static str>,
    /// Its name.
    pub name: &'static str,
    /// Who reads it, besides its writers and the operator, who reads everything.
    pub readers: &'static [Role],
    /// Who writes it, and how.
    pub writers: &'static [(Role, &'static [Right])],
}

const fn table(
    name: &'static str,
    readers: &'static [Role],
    writers: &'static [(Role, &'static [Right])],
) -> Relation {
    Relation { schema: None, name, readers, writers }
}

const fn view(schema: &'static str, name: &'static str) -> Relation {
    Relation { schema: Some(schema), name, readers: &[Ingest], writers: &[] }
}

use Right::{Delete, Insert, Update, UpdateOf};
use Role::{Ingest, Notifier, Operator, Worker};

const ALL: &[Right] = &[Insert, Update, Delete];
const ONCE: &[Right] = &[Insert, Delete];
const KEPT: &[Right] = &[Insert, Update];

/// All tables, and the views that services read.
pub static RELATIONS: &[Relation] = &[
    table("__diesel_schema_migrations", &[Ingest, Worker, Notifier], &[]),
    table("tenants", &[Ingest, Worker, Notifier], &[(Operator, KEPT)]),
    table("api_keys", &[Ingest, Worker, Notifier], &[(Operator, KEPT)]),
    table("key_uses", &[Notifier], &[(Ingest, KEPT)]),
    table("key_warnings", &[Notifier], &[(Worker, KEPT)]),
    table("key_mails", &[], &[(Notifier, KEPT)]),
    table("schemas", &[Ingest, Worker], &[(Operator, ALL)]),
    // `rollcall schema` rewrites search documents.
    table(
        "users",
        &[Ingest, Notifier],
        &[
            (Worker, ALL),
            (
                Operator,
                &[UpdateOf(&["search", "search_version", "user_name_key", "created_at", "modified_at"])],
            ),
        ],
    ),
    table("groups", &[Ingest], &[(Worker, ALL), (Operator, &[UpdateOf(&["search", "search_version"])])]),
    table("group_members", &[Ingest], &[(Worker, ALL)]),
    table("commands", &[], &[(Worker, ALL), (Ingest, &[Insert, UpdateOf(&["delivery"]), Delete])]),
    table("recent_resources", &[Ingest], &[(Worker, ONCE)]),
    table("receipts", &[], &[(Ingest, &[Insert]), (Worker, &[Delete])]),
    table("quarantine", &[], &[(Worker, ALL)]),
    table("outbox", &[], &[(Worker, ONCE)]),
    table("workers", &[], &[(Worker, ALL)]),
    table("assignments", &[], &[(Notifier, ALL)]),
    // `rollcall mail resend` sets a mail back to pending.
    table(
        "notifications",
        &[],
        &[
            (Notifier, ALL),
            (Operator, &[UpdateOf(&["state", "reason", "attempts", "due_at", "give_up_at", "dated_at"])]),
        ],
    ),
    table("mail_rates", &[], &[(Notifier, KEPT)]),
    table("unsubscribed", &[], &[(Ingest, ONCE), (Notifier, &[Delete])]),
    table("erasures", &[], &[(Notifier, ALL)]),
    table("received_events", &[], &[(Notifier, ALL)]),
    table("parked_events", &[Ingest], &[(Notifier, ALL)]),
    table("pulls", &[Ingest], &[(Operator, ALL)]),
    table("pull_requests", &[Ingest], &[(Operator, ONCE)]),
    table("pull_runs", &[], &[(Ingest, ALL)]),
    table("pull_seen", &[], &[(Ingest, ALL)]),
    table("pull_missing", &[], &[(Ingest, ALL)]),
    table("operator_actions", &[Ingest], &[(Operator, &[Insert])]),
    table("refusals", &[], &[(Ingest, &[Insert])]),
    view("reporting_source", "learners"),
    view("reporting_source", "assignments"),
    view("reporting_source", "unlinked"),
    view("reporting", "progress"),
];

impl Relation {
    /// What a role may do: pairs of a privilege and a column, which is empty for the whole relation.
    #[must_use]
    pub fn privileges(&self, role: Role) -> Vec<(&'static str, &'static str)> {
        let rights = self.writers.iter().find(|(writer, _)| *writer == role).map_or(&[][..], |(_, all)| all);
        let mut privileges = Vec::new();
        if !rights.is_empty() || role == Operator || self.readers.contains(&role) {
            privileges.push(("select", ""));
        }
        for right in rights {
            match right {
                Insert => privileges.push(("insert", "")),
                Update => privileges.push(("update", "")),
                Delete => privileges.push(("delete", "")),
                UpdateOf(columns) => privileges.extend(columns.iter().map(|column| ("update", *column))),
            }
        }
        privileges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_reads_and_others_do_not() {
        let find = |name| RELATIONS.iter().find(|relation| relation.name == name).unwrap();
        assert_eq!(find("outbox").privileges(Worker), [("select", ""), ("insert", ""), ("delete", "")]);
        assert_eq!(find("outbox").privileges(Operator), [("select", "")]);
        assert_eq!(find("outbox").privileges(Ingest), []);
        let on_commands = find("commands").privileges(Ingest);
        assert!(on_commands.contains(&("update", "delivery")) && !on_commands.contains(&("update", "")));
    }
}

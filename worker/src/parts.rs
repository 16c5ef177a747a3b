//! Which tenants' commands in a batch are applied in a transaction of their own, because they may take long or wait for
//! locks that the others do not need.

use std::collections::{BTreeMap, BTreeSet};

use domain::command::{Change, Command};
use scim::MemberChange;
use uuid::Uuid;

/// The maximum size of one tenant's commands in a transaction with those of other tenants, in bytes of their messages.
const TOGETHER: usize = 1 << 20;
/// The maximum number of one tenant's commands in a transaction with those of other tenants: the others wait for them.
const MANY: usize = 16;
/// The maximum size of the commands in a transaction of one tenant, in bytes of their messages. A single command may be
/// larger.
pub const ALONE: usize = 4 << 20;

/// The tenants whose commands are not applied together with those of others. The messages' sizes are in bytes.
pub fn apart<'a>(batch: impl IntoIterator<Item = (&'a Command, usize)>) -> BTreeSet<Uuid> {
    let (mut apart, mut shares) = (BTreeSet::new(), BTreeMap::<Uuid, (usize, usize)>::new());
    for (command, size) in batch {
        let (commands, bytes) = shares.entry(command.tenant).or_default();
        *commands += 1;
        *bytes += size;
        if *bytes > TOGETHER || is_heavy(command) {
            apart.insert(command.tenant);
        }
    }
    if shares.len() > 1 {
        apart.extend(shares.iter().filter(|(_, (commands, _))| *commands > MANY).map(|(tenant, _)| *tenant));
    }
    apart
}

/// Whether the command locks or changes more rows than it names: deletions take the tenant's exclusive lock, and the
/// others may change all members of a group.
fn is_heavy(command: &Command) -> bool {
    match &command.change {
        Change::DeleteUser | Change::DeleteGroup | Change::ReplaceGroup { .. } => true,
        Change::PatchGroup { patch } => patch
            .members
            .iter()
            .any(|change| matches!(change, MemberChange::Replace(_) | MemberChange::RemoveMatching(_))),
        Change::CreateUser { .. }
        | Change::ReplaceUser { .. }
        | Change::LeaveUser { .. }
        | Change::PatchUser { .. }
        | Change::SetRole { .. }
        | Change::SupplementUser { .. }
        | Change::CreateGroup { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use domain::command::{Actor, Fingerprint, Role, VERSION};
    use domain::ticket::TicketClock;
    use platform::clock::Clock;
    use time::OffsetDateTime;

    use super::*;

    fn command(tenant: u128, change: Change) -> Command {
        let tenant = Uuid::from_u128(tenant);
        let ticket = TicketClock::new(Clock::System).issue();
        Command {
            version: VERSION,
            ticket,
            tenant,
            actor: Actor::Operator,
            request: ticket.0,
            fingerprint: Fingerprint::of(tenant, "", "", b"", None),
            issued_at: OffsetDateTime::UNIX_EPOCH,
            deadline: OffsetDateTime::UNIX_EPOCH,
            resource: tenant,
            if_match: None,
            asynchronous: false,
            change,
        }
    }

    #[test]
    fn a_tenant_with_a_deletion_or_with_many_or_large_messages_is_apart() {
        let small = |tenant| (command(tenant, Change::SetRole { role: Role::default() }), 1_000);
        let large = |tenant| (command(tenant, Change::SetRole { role: Role::default() }), TOGETHER / 2 + 1);
        let deletion = |tenant| (command(tenant, Change::DeleteUser), 100);
        for (batch, expected) in [
            (vec![small(1), small(2), small(1)], vec![]),
            (vec![small(1), deletion(2), small(2)], vec![2]),
            (vec![small(1), large(1), small(2), large(2), large(3), large(3)], vec![3]),
            (vec![deletion(1)], vec![1]),
            ([vec![small(1); MANY], vec![small(2)]].concat(), vec![]),
            ([vec![small(1); MANY + 1], vec![small(2)]].concat(), vec![1]),
            (vec![small(1); MANY + 1], vec![]),
        ] {
            let found = apart(batch.iter().map(|(command, size)| (command, *size)));
            assert_eq!(found, expected.into_iter().map(Uuid::from_u128).collect());
        }
    }
}

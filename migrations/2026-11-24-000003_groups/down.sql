-- Back to a roster without groups. Groups, memberships and registered schemas are lost; users are not. Stop ingest and let the
-- workers empty rollcall.commands.bulk before: the version before has nobody for it.

delete from commands where state = 'queued';
alter table commands drop constraint commands_check, drop constraint commands_state_check;
alter table commands
    add constraint commands_state_check check (state in ('abandoned', 'decided', 'unclaimed', 'claimed')),
    add constraint commands_check check ((state = 'abandoned') = (outcome is null));
comment on column commands.state is 'abandoned: the client was told to try again before a verdict was reached; decided: it has its verdict; unclaimed: it has a verdict that nobody heard; claimed: ingest read the verdict from here.';
comment on table commands is 'Inbox and activity log in one, kept 30 days. Written by worker; ingest inserts abandoned rows and claims outcomes.';

-- Nobody of that version takes them, and what cannot be delivered holds up what comes after it.
delete from outbox where kind like 'group.%' or kind = 'user.linked';

drop index users_modified_at, users_emails, users_display_name, users_names, users_unfolded;
alter table users
    drop column folded_version,
    drop column folded;
drop table schemas, group_members, groups;

-- Back to a roster without groups. Groups, memberships and registered schemas are lost; users are not.

delete from commands where state = 'queued';
alter table commands drop constraint commands_check, drop constraint commands_state_check;
alter table commands
    add constraint commands_state_check check (state in ('abandoned', 'decided', 'unclaimed', 'claimed')),
    add constraint commands_check check ((state = 'abandoned') = (outcome is null));
comment on column commands.state is 'abandoned: the client was told to try again before a verdict was reached; decided: it has its verdict; unclaimed: it has a verdict that nobody heard; claimed: ingest read the verdict from here.';
comment on table commands is 'Inbox and activity log in one, kept 30 days. Written by worker; ingest inserts abandoned rows and claims outcomes.';

drop index users_modified_at, users_emails, users_display_name, users_unfolded;
alter table users
    drop column folded_version,
    drop column folded,
    alter column user_name_key type text collate "default",
    alter column external_id type text collate "default";
drop table schemas, group_members, groups;

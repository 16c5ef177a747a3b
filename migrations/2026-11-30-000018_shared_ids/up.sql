-- Several people may have one externalId; a member is called what the client called them.
-- Runs beside: the version before, which still refuses a POST with the externalId of an active person, and leaves the new columns
-- alone.

-- Serves what users_external_id served, and finds an active or an archived holder among thousands.
create index users_holders on users (tenant_id, external_id, archived_at) where external_id is not null;
drop index users_external_id;
comment on index users_holders is 'Who has an externalId; two of the active and two of the archived are enough to know.';

alter table pull_runs add column ambiguous bigint not null default 0;
comment on column pull_runs.ambiguous is 'Of the people in the group, whose external id several accounts here have that their login does not tell apart. They are left as they are.';

alter table group_members
    add column display text,
    add column display_folded text;
comment on column group_members.display is 'What the client calls the member, if that is not the person''s own name.';
comment on column group_members.display_folded is 'The same as filters compare it.';

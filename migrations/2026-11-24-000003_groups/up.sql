-- Groups and their members, registered schemas, what filters compare with, and commands that nobody waits for.
-- Runs beside: the version before, which knows no groups and leaves `folded` behind: workers of this version fill it in. That
-- version takes new events and commands for mistakes, so update the notifier first, then the workers, then ingest.

create table groups (
    id             uuid primary key,
    tenant_id      uuid not null references tenants,
    display_name   text not null,
    external_id    text collate "C",
    resource       jsonb not null,
    folded         jsonb not null,
    folded_version bigint not null,
    member_count   bigint not null default 0,
    version        bigint not null,
    ticket         uuid not null,
    created_at     timestamptz not null,
    modified_at    timestamptz not null
);
create index groups_unfolded on groups (id) where folded_version <> version;
create index groups_list on groups (tenant_id, id);
create index groups_modified_at on groups (tenant_id, modified_at);
create index groups_external_id on groups (tenant_id, external_id) where external_id is not null;
create index groups_display_name on groups (tenant_id, ((folded ->> 'displayName') collate "C"));
comment on table groups is 'Groups of users. Written by worker.';
comment on column groups.resource is 'The SCIM resource as clients write it, without its members.';
comment on column groups.folded is 'The resource as filters compare it: see users.folded.';
comment on column groups.folded_version is 'As users.folded_version.';
comment on column groups.member_count is 'How many rows of group_members it has.';
comment on column groups.version is 'Counts changes, those of its members too; the ETag.';
comment on column groups.ticket is 'The last command that was applied: an earlier one is stale.';

create table group_members (
    group_id uuid not null references groups on delete cascade,
    user_id  uuid not null references users on delete cascade,
    primary key (group_id, user_id)
);
create index group_members_user on group_members (user_id, group_id);
comment on table group_members is 'A membership is a row, so that changing one of 100,000 writes one. Written by worker.';

create table schemas (
    tenant_id     uuid not null references tenants,
    id            text not null,
    resource_type text not null check (resource_type in ('User', 'Group')),
    definition    jsonb not null,
    created_at    timestamptz not null default now(),
    removed_at    timestamptz,
    primary key (tenant_id, id)
);
comment on table schemas is 'Extension schemas that a tenant registered. Written by the CLI `rollcall`.';
comment on column schemas.id is 'The URN.';
comment on column schemas.removed_at is 'It was taken back, and values under it are stored all the same: it can come back only so that they fit.';
comment on column schemas.definition is 'The schema in the form of RFC 7643 §7.';

-- (The columns keep their types: a running worker has statements prepared on them.)
alter table users
    add column folded jsonb not null default '{}',
    add column folded_version bigint not null default 0;
create index users_unfolded on users (id) where folded_version <> version;
create index users_names on users (tenant_id, (user_name_key collate "C"));
create index users_display_name on users (tenant_id, ((folded ->> 'displayName') collate "C"));
create index users_emails on users using gin ((folded -> 'emails') jsonb_path_ops);
create index users_modified_at on users (tenant_id, modified_at);
comment on column users.folded is 'The resource as filters compare it: what is not caseExact folded, dates in one form. Computed by the services.';
comment on column users.folded_version is 'The version that folded was computed for; a worker catches up where it is another.';

alter table commands drop constraint commands_check, drop constraint commands_state_check;
alter table commands
    add constraint commands_state_check
        check (state in ('queued', 'abandoned', 'decided', 'unclaimed', 'claimed')),
    add constraint commands_check check ((state in ('queued', 'abandoned')) = (outcome is null));
comment on column commands.state is 'queued: it was taken for asynchronous processing and has no verdict yet; abandoned: the client was told to try again before a verdict was reached; decided: it has its verdict; unclaimed: it has a verdict that nobody heard; claimed: ingest read the verdict from here.';
comment on table commands is 'Inbox and activity log in one, kept 30 days. Written by worker; ingest inserts queued and abandoned rows and claims outcomes.';

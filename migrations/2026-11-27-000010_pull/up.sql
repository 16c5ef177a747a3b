-- The pull: what SCIM does not carry (hire date, region, custom fields), fetched from Okta's API; and who is gone there.
-- Runs beside: the version before, which leaves the new columns and tables alone. A worker of that version takes the pull's commands
-- (version 2 of the envelope) for dead letters, with the version as the reason: so update the workers first, then ingest, and only
-- then `rollcall pull set`. What became a dead letter all the same is put back by `rollcall dead redrive`.

alter table users
    add column hire_date date,
    add column region text,
    add column custom_fields jsonb,
    add column pull_ticket uuid;
comment on column users.hire_date is 'From the pull; SCIM does not carry it.';
comment on column users.region is 'From the pull; SCIM does not carry it.';
comment on column users.custom_fields is 'From the pull, by the names of the tenant''s attribute map; SCIM does not carry them.';
comment on column users.pull_ticket is 'The last command of the pull that was applied. Apart from ticket: a pull makes no SCIM change stale, and none makes a pull stale.';
comment on column commands.actor is 'The id of the API key, or operator, or pull.';

create table pulls (
    tenant_id       uuid primary key references tenants,
    okta_url        text not null,
    group_id        text not null,
    token           bytea not null,
    map             jsonb not null,
    archive_missing boolean not null default false,
    limit_percent   smallint not null default 20 check (limit_percent between 0 and 100),
    set_at          timestamptz not null
);
comment on table pulls is 'Tenants whose people are pulled from Okta, and how. Written by the CLI `rollcall`.';
comment on column pulls.okta_url is 'Where Okta''s API is: scheme, host and port.';
comment on column pulls.token is 'Okta''s read-only API token, encrypted under ROLLCALL_SECRET_KEY, bound to the tenant and the URL.';
comment on column pulls.map is 'Which attribute of Okta''s users is which of ours.';
comment on column pulls.archive_missing is 'Whether those who are gone there are archived here.';
comment on column pulls.limit_percent is 'The most of the roster, in percent, that is archived without asking.';
comment on column pulls.set_at is 'Slots before this time are not caught up with.';

create table pull_requests (
    id           uuid primary key,
    tenant_id    uuid not null references tenants,
    confirms     uuid,
    requested_at timestamptz not null
);
create index pull_requests_age on pull_requests (requested_at);
comment on table pull_requests is 'What operators asked for by hand: a pull now, or to go on with one that asks. Written by the CLI `rollcall`.';
comment on column pull_requests.id is 'Of a pull by hand the run''s id too.';
comment on column pull_requests.confirms is 'The run whose archiving is confirmed; null asks for a run.';

create table pull_runs (
    id          uuid primary key,
    tenant_id   uuid not null references tenants,
    slot        text not null,
    state       text not null check (state in ('waiting', 'running', 'asks', 'done', 'failed')),
    phase       text not null default 'read' check (phase in ('read', 'compare', 'archive')),
    holder      uuid,
    lease_until timestamptz,
    next_link   text,
    pages       integer not null default 0,
    people      bigint not null default 0,
    strangers   bigint not null default 0,
    changes     bigint not null default 0,
    unreadable  bigint not null default 0,
    roster      bigint,
    linked      bigint,
    gone        bigint,
    archiving   bigint not null default 0,
    confirmed   boolean not null default false,
    reason      text,
    set_at      timestamptz,
    rests_until timestamptz,
    due_at      timestamptz not null,
    started_at  timestamptz,
    finished_at timestamptz,
    unique (tenant_id, slot)
);
create unique index pull_runs_one_at_a_time on pull_runs (tenant_id) where state = 'running';
create index pull_runs_open on pull_runs (due_at) where state in ('waiting', 'running');
comment on table pull_runs is 'Every run of a pull: one for each tenant and slot however many ingests there are. Written by ingest.';
comment on column pull_runs.slot is 'The time that it was due, or of a run by hand the id of the request.';
comment on column pull_runs.state is 'waiting: to be taken by an ingest; running; asks: more are gone than may be archived without `rollcall pull confirm`; done; failed: given up, see reason.';
comment on column pull_runs.phase is 'read: the group''s pages; compare: who is gone; archive: of whom commands are being queued. A crash resumes here.';
comment on column pull_runs.holder is 'The ingest that runs it.';
comment on column pull_runs.lease_until is 'Renewed while it is run; once it is over another ingest goes on.';
comment on column pull_runs.next_link is 'The next page in the phase read, as Okta named it; null is the first.';
comment on column pull_runs.people is 'In Okta''s group.';
comment on column pull_runs.strangers is 'Of those, who has no account here.';
comment on column pull_runs.changes is 'Commands queued.';
comment on column pull_runs.unreadable is 'Values that could not be taken, such as a hire date that is no date.';
comment on column pull_runs.reason is 'Why it failed, or why it asks.';
comment on column pull_runs.set_at is 'That of the configuration it began with (pulls.set_at): under another one it does not go on.';
comment on column pull_runs.rests_until is 'Until then Okta''s rate limit is used up, and nobody goes on with it.';
comment on column pull_runs.roster is 'Active here when it was compared.';
comment on column pull_runs.linked is 'Of those, linked to Okta or made by SCIM.';
comment on column pull_runs.gone is 'Of those, who is not in the group.';
comment on column pull_runs.archiving is 'Of those, for whom a command to archive was queued.';

create table pull_seen (
    run_id        uuid not null references pull_runs on delete cascade,
    okta_id       text collate "C" not null,
    external_id   text collate "C" not null,
    user_name_key text collate "C" not null,
    is_known      boolean not null,
    primary key (run_id, okta_id)
);
create index pull_seen_external_ids on pull_seen (run_id, external_id);
create index pull_seen_names on pull_seen (run_id, user_name_key);
comment on table pull_seen is 'Who is in Okta''s group, while a run reads it. Written by ingest.';
comment on column pull_seen.external_id is 'What the attribute map makes externalId of; Okta''s own id where that is empty.';
comment on column pull_seen.user_name_key is 'The login, folded as users.user_name_key.';
comment on column pull_seen.is_known is 'Whether external_id was told, and by nobody before.';

create table pull_gone (
    run_id  uuid not null references pull_runs on delete cascade,
    user_id uuid not null,
    version bigint not null,
    queued  boolean not null default false,
    primary key (run_id, user_id)
);
comment on table pull_gone is 'Who is active here and gone there, as a run found it. Written by ingest.';
comment on column pull_gone.version is 'The version that was compared: whoever has changed since is not archived.';
comment on column pull_gone.queued is 'Whether a command to archive was queued.';

-- The roster: tenants and their keys, users, the inbox of commands and the outbox of events.
-- Runs beside: nothing earlier exists.

create table tenants (
    id          uuid primary key,
    name        text not null unique check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    settings    jsonb not null default '{}',
    created_at  timestamptz not null default now()
);
comment on table tenants is 'One company each. Written by the CLI `rollcall`.';
comment on column tenants.name is 'The subdomain; the user name of HTTP Basic.';
comment on column tenants.settings is 'What the company chose; absent keys have their default.';

create table api_keys (
    id          uuid primary key,
    tenant_id   uuid not null references tenants,
    prefix      text not null unique,
    sha256      text not null,
    scopes      text[] not null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);
create index api_keys_tenant on api_keys (tenant_id);
comment on table api_keys is 'Keys of identity providers and other clients. Written by the CLI `rollcall`; the key itself is stored nowhere.';
comment on column api_keys.prefix is 'The public part of the key, by which it is found.';
comment on column api_keys.sha256 is 'SHA-256 of the whole key, lower-case hexadecimal.';
comment on column api_keys.scopes is 'What it opens: scim, events, reports, activity.';

create table key_uses (
    key_id       uuid primary key references api_keys on delete cascade,
    last_used_at timestamptz not null
);
comment on table key_uses is 'When a key was last used, to the minute. Written by ingest.';

create table users (
    id              uuid primary key,
    tenant_id       uuid not null references tenants,
    user_name       text not null,
    user_name_key   text not null,
    external_id     text,
    given_name      text not null,
    family_name     text not null,
    display_name    text,
    email           text not null,
    location        text,
    business_unit   text,
    department      text,
    job_title       text,
    manager_name    text,
    employee_number text,
    locale          text,
    timezone        text,
    role            text not null default 'learner' check (role in ('admin', 'manager', 'creator', 'learner')),
    origin          text not null check (origin in ('scim', 'manual')),
    archived_at     timestamptz,
    resource        jsonb not null,
    version         bigint not null,
    ticket          uuid not null,
    created_ticket  uuid not null,
    created_at      timestamptz not null,
    modified_at     timestamptz not null,
    constraint users_user_name_unique unique (tenant_id, user_name_key) deferrable
);
create index users_list on users (tenant_id, id);
create index users_external_id on users (tenant_id, external_id) where external_id is not null;
comment on table users is 'The roster. Written by worker.';
comment on column users.user_name_key is 'userName folded for comparison, computed by the services: the database''s locale has no say.';
comment on column users.location is 'The enterprise attribute costCenter.';
comment on column users.business_unit is 'The enterprise attribute division.';
comment on column users.origin is 'scim: provisioned silently; manual: made by hand, welcomed by mail.';
comment on column users.archived_at is 'When SCIM''s active became false; null for the living.';
comment on column users.resource is 'The SCIM resource as clients write it; the columns beside it are copies for reports and indexes.';
comment on column users.version is 'Counts changes; the ETag.';
comment on column users.ticket is 'The last command that was applied: an earlier one is stale.';
comment on column users.created_ticket is 'The command that made the account.';

create table commands (
    id          uuid primary key,
    tenant_id   uuid not null,
    change      text not null,
    resource_id uuid,
    actor       text not null,
    request_id  uuid not null,
    fingerprint text not null,
    state       text not null check (state in ('abandoned', 'decided', 'unclaimed', 'claimed')),
    status      smallint,
    outcome     jsonb,
    issued_at   timestamptz not null,
    decided_at  timestamptz,
    check ((state = 'abandoned') = (outcome is null))
);
create index commands_unclaimed on commands (tenant_id, fingerprint) where state = 'unclaimed';
create index commands_activity on commands (tenant_id, id);
comment on table commands is 'Inbox and activity log in one, kept 30 days. Written by worker; ingest inserts abandoned rows and claims outcomes.';
comment on column commands.id is 'The ticket.';
comment on column commands.actor is 'The id of the API key, or operator.';
comment on column commands.fingerprint is 'SHA-256 over tenant, method, path, body and If-Match: the same request again has the same one.';
comment on column commands.state is 'abandoned: the client was told to try again before a verdict was reached; decided: it has its verdict; unclaimed: it has a verdict that nobody heard; claimed: ingest read the verdict from here.';
comment on column commands.status is 'The HTTP status of the verdict.';

create table outbox (
    position    bigint generated always as identity primary key,
    kind        text not null,
    event       jsonb not null,
    created_at  timestamptz not null default now()
);
comment on table outbox is 'Events that the broker has not confirmed yet, in order. Written by worker.';
comment on column outbox.kind is 'The event''s type, its routing key.';

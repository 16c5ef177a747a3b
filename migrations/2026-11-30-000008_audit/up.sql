-- The audit trail: what operators did, and what ingest refused to clients with a known key. Rows are only added.
-- Runs beside: 0.1.0, which does not know these tables.

create table operator_actions (
    id       uuid primary key,
    run      uuid not null,
    at       timestamptz not null default now(),
    action   text not null,
    tenant   text,
    target   text not null,
    os_user  text not null,
    host     text not null,
    state    text not null check (state in ('begun', 'succeeded', 'failed')),
    reason   text
);
create index operator_actions_tenant on operator_actions (tenant, id);
comment on table operator_actions is 'The writing commands of operators. Rows are only added. Written by `rollcall`.';
comment on column operator_actions.id is 'UUIDv7.';
comment on column operator_actions.run is 'The same for the rows of one command: its begin and its end.';
comment on column operator_actions.at is 'When the row was added.';
comment on column operator_actions.action is 'The command, such as key revoke.';
comment on column operator_actions.tenant is 'The name of the tenant; null: the command is about no single tenant.';
comment on column operator_actions.target is 'What the command was about: ids, public parts of keys and names of settings, never personal data.';
comment on column operator_actions.os_user is 'The user of the operating system, and the one who called sudo.';
comment on column operator_actions.host is 'The name of the machine.';
comment on column operator_actions.state is 'begun: the row was added before the command ran; succeeded or failed: after it.';
comment on column operator_actions.reason is 'Why it failed: the kind of error.';
comment on index operator_actions_tenant is 'The audit trail of a tenant.';

create table refusals (
    id         uuid primary key,
    minute     timestamptz not null,
    tenant_id  uuid not null,
    key        text not null,
    address    text not null,
    method     text not null,
    route      text not null,
    status     smallint not null,
    scim_type  text,
    detail     text not null,
    count      bigint not null
);
create index refusals_tenant on refusals (tenant_id, id);
comment on table refusals is 'Requests with a known key that ingest refused, summed per minute. Rows are only added. Written by ingest.';
comment on column refusals.id is 'UUIDv7.';
comment on column refusals.minute is 'The minute of the requests.';
comment on column refusals.tenant_id is 'The tenant of the key.';
comment on column refusals.key is 'The public part of the key.';
comment on column refusals.address is 'The address of the client.';
comment on column refusals.method is 'The HTTP method.';
comment on column refusals.route is 'The pattern of the route, without ids.';
comment on column refusals.status is 'The HTTP status of the answer.';
comment on column refusals.scim_type is 'The scimType of the answer.';
comment on column refusals.detail is 'The detail of the answer. It names attributes and limits, never values.';
comment on column refusals.count is 'The number of such requests in this minute, at one ingest.';
comment on index refusals_tenant is 'The audit trail of a tenant.';

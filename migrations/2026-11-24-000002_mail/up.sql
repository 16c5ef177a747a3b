-- The notifier's tables: what was assigned, the mail ledger, events taken and events waiting.
-- Runs beside: any version of ingest and worker, which do not touch them.

create table assignments (
    tenant_id     uuid not null references tenants,
    id            text not null,
    user_id       uuid not null,
    content_id    text,
    content_kind  text check (content_kind in ('Lesson', 'Path')),
    content_title text,
    content_url   text,
    assigned_at   timestamptz,
    due_by        timestamptz,
    completed_at  timestamptz,
    score         double precision,
    primary key (tenant_id, id)
);
create index assignments_user on assignments (user_id);
comment on table assignments is 'What was assigned to whom, as the content service told. Written by notifier.';
comment on column assignments.content_id is 'Null while only the completion has arrived.';

create table notifications (
    id           uuid primary key,
    tenant_id    uuid not null references tenants,
    user_id      uuid not null,
    kind         text not null check (kind in ('welcome', 'first_assignment')),
    state        text not null check (state in ('pending', 'claimed', 'sent', 'suppressed', 'failed')),
    reason       text,
    event_source text not null,
    event_id     text not null,
    context      jsonb not null default '{}',
    attempts     integer not null default 0,
    decided_at   timestamptz not null,
    due_at       timestamptz not null,
    sent_at      timestamptz,
    unique (tenant_id, event_source, event_id, kind)
);
create unique index notifications_once on notifications (user_id, kind) where state not in ('suppressed', 'failed');
create index notifications_due on notifications (due_at) where state in ('pending', 'claimed');
comment on table notifications is 'The mail ledger: every decision to send or not to send, and what came of it. Written by notifier.';
comment on column notifications.id is 'Also the mail''s Message-ID: a resend carries the same one.';
comment on column notifications.state is 'pending: to be sent at due_at; claimed: being sent, to be claimed again at due_at if nobody settles it; sent; suppressed: never to be sent, see reason; failed: given up, see reason.';
comment on column notifications.reason is 'Why it was suppressed or failed.';
comment on column notifications.context is 'What the mail says beside the person''s name.';

create table received_events (
    tenant_id   uuid not null references tenants,
    source      text not null,
    id          text not null,
    received_at timestamptz not null default now(),
    primary key (tenant_id, source, id)
);
create index received_events_age on received_events (received_at);
comment on table received_events is 'Events already taken, so that each takes effect once. Kept 30 days. Written by notifier.';

create table parked_events (
    tenant_id  uuid not null references tenants,
    source     text not null,
    id         text not null,
    user_id    uuid not null,
    event      jsonb not null,
    attempts   integer not null default 0,
    parked_at  timestamptz not null,
    due_at     timestamptz not null,
    primary key (tenant_id, source, id)
);
create index parked_events_due on parked_events (due_at);
create index parked_events_user on parked_events (user_id);
comment on table parked_events is 'Events for users who are not known yet: tried again when the user appears, and at due_at. Written by notifier.';

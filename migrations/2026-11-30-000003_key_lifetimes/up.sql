-- API keys: the networks that a key may be used from, and the warnings and mail before a key expires.
-- Runs beside: 0.1.0, which ignores them.

set local lock_timeout = '2s';

alter table api_keys add column networks text[] not null default '{}';
comment on column api_keys.networks is 'The networks (CIDR) that the key may be used from; empty: from anywhere.';
comment on column api_keys.scopes is 'What the key permits: scim, events, reports, activity, roles.';

create table key_warnings (
    key_id     uuid not null references api_keys on delete cascade,
    days       smallint not null,
    expires_at timestamptz not null,
    warned_at  timestamptz not null,
    primary key (key_id, days)
);
comment on table key_warnings is 'Each warning that an API key expires, so that it is given once. Written by worker.';
comment on column key_warnings.key_id is 'The key.';
comment on column key_warnings.days is 'Which warning: 30, 14 or 3 days before the end.';
comment on column key_warnings.expires_at is 'When the key expires, as the warning said.';
comment on column key_warnings.warned_at is 'When the event was written to the outbox.';

create table key_mails (
    key_id     uuid not null,
    days       smallint not null,
    state      text not null check (state in ('pending', 'sent', 'failed')),
    attempts   integer not null default 0,
    due_at     timestamptz not null,
    dated_at   timestamptz not null,
    give_up_at timestamptz not null,
    sent_at    timestamptz,
    reason     text,
    primary key (key_id, days),
    foreign key (key_id, days) references key_warnings on delete cascade
);
create index key_mails_due on key_mails (due_at) where state = 'pending';
comment on table key_mails is 'Mail to a tenant''s contact about an API key that expires: one row per warning. Written by notifier.';
comment on column key_mails.key_id is 'The key; with days also the Message-ID: an attempt after the first has the same one.';
comment on column key_mails.days is 'Which warning.';
comment on column key_mails.state is 'pending: to be sent at due_at; sent; failed: given up, see reason.';
comment on column key_mails.attempts is 'How often sending was attempted.';
comment on column key_mails.due_at is 'When it is to be sent, or sent again; while a notifier sends it, the end of its lease.';
comment on column key_mails.dated_at is 'When it was decided; the Date of the mail.';
comment on column key_mails.give_up_at is 'Retries end here.';
comment on column key_mails.sent_at is 'When the mail server accepted it.';
comment on column key_mails.reason is 'Why the last attempt failed.';
comment on index key_mails_due is 'Mail that is due.';

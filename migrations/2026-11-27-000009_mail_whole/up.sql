-- Mail about assignments after the first, several assignments in one mail, what became of each attempt to send one,
-- and who wants no more mail about assignments.
-- Runs beside: any version of ingest and worker. A notifier of the version before sends of several assignments the first
-- alone, and gives up the kinds of mail that it does not know: update the notifiers before a tenant's assignment_mail is set.

-- What is there satisfies the wider check, so nothing is read to validate it.
alter table notifications drop constraint notifications_kind_check;
alter table notifications add constraint notifications_kind_check
    check (kind in ('welcome', 'first_assignment', 'assignment', 'digest')) not valid;

alter table notifications
    add column give_up_at timestamptz,
    add column dated_at timestamptz,
    add column in_doubt boolean not null default false,
    add column last_attempt jsonb;

create unique index notifications_first on notifications (user_id, kind)
    where (state not in ('suppressed', 'failed') or sent_at is not null or in_doubt) and kind in ('welcome', 'first_assignment');
drop index notifications_once;
alter index notifications_first rename to notifications_once;
create unique index notifications_waiting on notifications (user_id, kind)
    where state = 'pending' and attempts = 0 and kind in ('assignment', 'digest');
create index notifications_user on notifications (user_id, kind);
create index notifications_due_of on notifications (tenant_id, due_at) where state in ('pending', 'claimed');
comment on index notifications_once is 'One welcome and one mail about a first assignment to a person, ever; what never reached them does not count, what may have reached them does.';
comment on index notifications_waiting is 'At most one mail of a kind waits for more to say.';
comment on column notifications.kind is 'welcome; first_assignment; assignment: after the first, where assignment_mail is every; digest: those of a day, where it is digest.';
comment on column notifications.context is 'What the mail says beside the person''s name: assigned, and more that was assigned while it waited to be sent. What was completed before the first attempt is taken out then.';
comment on column notifications.give_up_at is 'Until when it is tried: 72 hours from the first attempt; null: not tried yet.';
comment on column notifications.dated_at is 'The mail''s Date: when it was to be sent; null: decided_at.';
comment on column notifications.in_doubt is 'Nobody knows whether an attempt reached the person: there was no last word of the mail server, or of the notifier that made it.';
comment on column notifications.last_attempt is 'The last attempt: at; ended: sent, refused (for good), put_off (not for now), unknown (nobody knows whether it arrived) or unwritten (it could not be put together); why.';
comment on table notifications is 'The mail ledger: every decision to send or not to send, and what came of it. Written by notifier; `rollcall mail resend` makes pending again what was sent or given up.';
create index notifications_recent on notifications (decided_at desc, id);

create table unsubscribed (
    tenant_id uuid not null references tenants,
    user_id   uuid not null,
    since     timestamptz not null default now(),
    primary key (tenant_id, user_id)
);
comment on table unsubscribed is 'Who wants no more mail about assignments after the first. Written by ingest.';

create table mail_pace (
    tenant_id uuid primary key references tenants,
    next_at   timestamptz not null default '-infinity'
);
comment on table mail_pace is 'When the next mail of a tenant with mails_per_minute may go out, whichever notifier sends it. Written by notifier.';

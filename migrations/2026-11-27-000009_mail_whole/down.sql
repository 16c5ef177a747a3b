-- The ledger forgets the kinds of mail that the version before does not know.
delete from notifications where kind in ('assignment', 'digest');
-- What reached its person although it ended otherwise is sent, in the words of the version before.
update notifications set state = 'sent' where state in ('suppressed', 'failed') and (sent_at is not null or in_doubt);
drop index notifications_waiting;
create unique index notifications_first on notifications (user_id, kind) where state not in ('suppressed', 'failed');
drop index notifications_once;
alter index notifications_first rename to notifications_once;
alter table notifications drop constraint notifications_kind_check;
alter table notifications add constraint notifications_kind_check check (kind in ('welcome', 'first_assignment'));
comment on column notifications.kind is null;
comment on column notifications.context is 'What the mail says beside the person''s name.';
drop index notifications_recent;
drop index notifications_user;
drop index notifications_due_of;
alter table notifications drop column give_up_at, drop column dated_at, drop column in_doubt,
    drop column last_attempt;
comment on table notifications is 'The mail ledger: every decision to send or not to send, and what came of it. Written by notifier.';
drop table unsubscribed;
drop table mail_pace;

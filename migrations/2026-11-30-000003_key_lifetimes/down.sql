set local lock_timeout = '2s';
drop table key_mails, key_warnings;
comment on column api_keys.scopes is 'What the key permits: scim, events, reports, activity.';
alter table api_keys drop column networks;

drop function erase_removed_tenant;
comment on table unsubscribed is 'Users who unsubscribed from mail about assignments after the first. Written by ingest.';
alter table tenants drop column removed_at;
drop table erasures;

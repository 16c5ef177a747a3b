-- Back to one active person for each externalId that is sent in a POST. What clients called members is lost; people who share an
-- externalId by now keep it.

alter table group_members drop column display_folded, drop column display;
alter table pull_runs drop column ambiguous;
create index users_external_id on users (tenant_id, external_id) where external_id is not null;
drop index users_holders;

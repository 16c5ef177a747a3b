-- Back to accounts that are linked by an externalId alone: which others an identity provider owns is forgotten.
create or replace view living.unlinked as
    select u.tenant_id, t.name as tenant, u.id, u.user_name, u.email, u.location, u.business_unit, u.role, u.origin, u.created_at
    from users u join tenants t on t.id = u.tenant_id
    where u.archived_at is null and u.external_id is null and u.origin = 'manual';
drop index users_unlinked;
create index users_unlinked on users (tenant_id, id) where external_id is null and archived_at is null and origin = 'manual';
alter table users drop column linked_at;

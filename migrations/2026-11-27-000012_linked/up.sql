-- An account that an identity provider has found and changed by its id is linked, whether or not it was given an externalId: Okta's
-- PUT is our own representation with its changes merged in, and need not hold one.
-- Runs beside: the version before, which goes by the externalId alone.

alter table users add column linked_at timestamptz;
comment on column users.linked_at is 'When an identity provider first changed an account that was made by hand: it knows the account since.';

-- As far back as is known; by the index commands_resource, from the few accounts that were made by hand.
update users u set linked_at = c.at
    from users m cross join lateral
         (select min(decided_at) as at from commands
          where tenant_id = m.tenant_id and resource_id = m.id and change in ('user.replace', 'user.patch')
            and status = 200 and actor not in ('operator', 'pull', 'platform')) c
    where m.origin = 'manual' and u.id = m.id and c.at is not null;

drop index users_unlinked;
create index users_unlinked on users (tenant_id, id)
    where external_id is null and linked_at is null and archived_at is null and origin = 'manual';
create or replace view living.unlinked as
    select u.tenant_id, t.name as tenant, u.id, u.user_name, u.email, u.location, u.business_unit, u.role, u.origin, u.created_at
    from users u join tenants t on t.id = u.tenant_id
    where u.archived_at is null and u.external_id is null and u.linked_at is null and u.origin = 'manual';

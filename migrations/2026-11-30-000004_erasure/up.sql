-- Which users were erased, and the removal of tenants.
-- Runs beside: 0.1.0. It neither reads nor writes what is new here.

set local lock_timeout = '2s';

create table erasures (
    tenant_id   uuid not null references tenants,
    user_id     uuid not null,
    erased_at   timestamptz not null default now(),
    assignments bigint not null default 0,
    mails       bigint not null default 0,
    events      bigint not null default 0,
    primary key (tenant_id, user_id)
);
create index erasures_age on erasures (erased_at);
comment on table erasures is 'Deleted users whose assignments, mail and events were erased. Later events about them are dropped. Kept for 400 days. Written by notifier.';
comment on column erasures.tenant_id is 'The tenant.';
comment on column erasures.user_id is 'The user.';
comment on column erasures.erased_at is 'When it was last done.';
comment on column erasures.assignments is 'How many assignments were deleted.';
comment on column erasures.mails is 'From how many rows of notifications the content was removed.';
comment on column erasures.events is 'How many parked events were deleted.';
comment on index erasures_age is 'Finds recent rows, and old ones to delete.';

alter table tenants add column removed_at timestamptz;
comment on column tenants.removed_at is 'When the removal of the tenant began; null: it is not being removed.';

comment on table unsubscribed is 'Users who unsubscribed from mail about assignments after the first. Written by ingest; notifier deletes the rows of erased users.';

-- Each table has one writer, so the removal of a tenant, which concerns all tables, is a function of the owner. It does nothing unless
-- the tenant is marked, which only `rollcall` may do.
create function erase_removed_tenant(removed uuid, at_most integer) returns bigint
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    called text;
    owned  text;
    gone   bigint;
begin
    select name into called from public.tenants where id = removed and removed_at is not null;
    if called is null then
        return 0;
    end if;
    -- What belongs to commands has their ids only.
    delete from public.recent_resources where command in
        (select r.command from public.recent_resources r join public.commands c on c.id = r.command and c.tenant_id = removed limit at_most);
    get diagnostics gone = row_count;
    if gone > 0 then return gone; end if;
    delete from public.receipts where command in
        (select r.command from public.receipts r join public.commands c on c.id = r.command and c.tenant_id = removed limit at_most);
    get diagnostics gone = row_count;
    if gone > 0 then return gone; end if;
    delete from public.outbox where position in
        (select position from public.outbox where event ->> 'tenant' = called limit at_most);
    get diagnostics gone = row_count;
    if gone > 0 then return gone; end if;
    -- Every other table that names its tenant; an audit trail stays.
    for owned in
        select c.table_name from information_schema.columns c
            join pg_catalog.pg_class t on t.relname = c.table_name and t.relnamespace = 'public'::regnamespace and t.relkind = 'r'
        where c.table_schema = 'public' and c.column_name = 'tenant_id' and c.table_name not like 'audit%'
        order by c.table_name
    loop
        execute format('delete from public.%I where ctid = any(array(select ctid from public.%I where tenant_id = $1 limit $2))', owned, owned)
            using removed, at_most;
        get diagnostics gone = row_count;
        if gone > 0 then return gone; end if;
    end loop;
    delete from public.tenants where id = removed;
    get diagnostics gone = row_count;
    return gone;
end $$;
comment on function erase_removed_tenant is 'Deletes some rows of a tenant that is being removed, at last its own, and returns how many; 0: nothing is left.';

-- Announces changes of tenants, API keys and schemas to the services, which cache them: NOTIFY rollcall_changed with the
-- tenant's id, when the change is committed. Triggers cover every writer, earlier versions of the CLI included.
-- Runs beside: 0.1.0 (which does not listen, and reads again as before).

set lock_timeout = '5s';

create function announce_change() returns trigger
    language plpgsql as
$$
declare
    changed jsonb;
begin
    if tg_op = 'DELETE' then
        changed := to_jsonb(old);
    else
        changed := to_jsonb(new);
    end if;
    perform pg_notify('rollcall_changed', coalesce(changed ->> 'tenant_id', changed ->> 'id'));
    return null;
end
$$;
comment on function announce_change() is 'Notifies the channel rollcall_changed with the id of the tenant of a changed row.';

create trigger announce_change after insert or update or delete on tenants
    for each row execute function announce_change();
create trigger announce_change after insert or update or delete on api_keys
    for each row execute function announce_change();
create trigger announce_change after insert or update or delete on schemas
    for each row execute function announce_change();
comment on trigger announce_change on tenants is 'Changed settings are in force at once.';
comment on trigger announce_change on api_keys is 'A revoked key is rejected at once.';
comment on trigger announce_change on schemas is 'A changed schema is in force at once.';

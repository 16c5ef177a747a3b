-- Lists without a filter count and skip by an index-only scan.
-- Runs beside: the version before, whose lists can use the index too. Writers of users wait while it is built (about a second
-- for 100,000 people); readers do not. CREATE INDEX CONCURRENTLY would wait for every open transaction, and other workers
-- hold some while they wait to migrate or to relay.

create index users_listed on users (tenant_id, id)
    where origin <> 'manual' or external_id is not null or linked_at is not null;
comment on index users_listed is 'Whom a list without a filter shows: the condition of LINKED in shared::postgres::list.';

-- An index-only scan skips the table only for pages that vacuum has marked all-visible. By default vacuum waits until a fifth
-- of all rows have changed.
alter table users set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);

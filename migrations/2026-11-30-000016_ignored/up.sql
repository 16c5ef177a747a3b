-- The activity log tells what a change left as it was.
-- Runs beside: the version before, which neither writes nor reads the column.

alter table commands add column ignored text[];
comment on column commands.ignored is 'The names of the attributes that the request is about and that were left as they were: those of no schema, and what a request that leaves somebody inactive asks for and cannot have.';

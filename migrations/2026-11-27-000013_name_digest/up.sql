-- The activity log of a userName knows the creates that were refused, and those who are gone.
-- Runs beside: the version before, whose creates are found by the account's id alone.

alter table commands add column name_digest text;
comment on column commands.name_digest is 'Of a create: SHA-256 over tenant and userName (in its folded case), by which the log finds it; the log itself names nobody.';
create index commands_name_digest on commands (tenant_id, name_digest, id) where name_digest is not null;
comment on index commands_name_digest is 'The creates of one userName.';

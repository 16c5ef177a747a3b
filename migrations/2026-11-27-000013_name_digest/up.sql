-- The activity log of a userName knows the creates that were refused, and those who are gone.
-- Runs beside: the version before, whose changes are found by the account's id alone.

comment on column commands.attributes is 'Of a PATCH the names of the attributes that it is about; of a role which.';

alter table commands add column name_digest text;
comment on column commands.name_digest is 'SHA-256 over tenant and the userName (in its folded case) that a user was to have, of a create, a PUT, a PATCH of the userName: the log finds it by that, and itself names nobody.';
create index commands_name_digest on commands (tenant_id, name_digest, id) where name_digest is not null;
comment on index commands_name_digest is 'Who had one userName, or was to.';

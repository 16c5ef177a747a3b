-- An event role.changed that comes again is known again.
-- Runs beside: the version before, which sets the role again.

create index commands_roles on commands (tenant_id, fingerprint) where change = 'user.role';
comment on index commands_roles is 'Whether an event has set its role: the fingerprint is of its source and id.';

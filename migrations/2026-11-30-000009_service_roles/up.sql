-- The comments name every writer of a table, as the privileges of the services' roles do. The roles are created, and
-- their privileges granted, after each migration (shared/database/src/grants.rs).
-- Runs beside: 0.1.0. Comments change nothing for running services.

set lock_timeout = '2s';

comment on table users is 'The roster. Written by worker; `rollcall schema` rewrites search documents.';
comment on table groups is 'Groups of users. Written by worker; `rollcall schema` rewrites search documents.';

alter table users reset (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor);
drop index users_listed;

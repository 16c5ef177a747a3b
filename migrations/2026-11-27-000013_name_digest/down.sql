-- The creates that were refused are found in the log of the tenant alone.
drop index commands_name_digest;
alter table commands drop column name_digest;
comment on column commands.attributes is 'Of a PATCH the names of the attributes that it is about.';

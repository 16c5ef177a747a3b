drop table outbox;
drop table commands;
drop table users;
drop table key_uses;
drop table api_keys;
drop table tenants;

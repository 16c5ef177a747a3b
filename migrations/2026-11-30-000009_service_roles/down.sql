-- The roles stay: they belong to the server, and another database may use them. Their privileges go with the tables.
comment on table users is 'The roster. Written by worker.';
comment on table groups is 'Groups of users. Written by worker.';

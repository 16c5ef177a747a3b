-- Back to a roster without the pull: its configuration, its runs, and what it brought are lost. Stop ingest and let the workers empty
-- rollcall.commands.bulk before: the version before takes what is left of it for dead letters.

drop table pull_gone, pull_seen, pull_runs, pull_requests, pulls;
comment on column commands.actor is 'The id of the API key, or operator.';
alter table users
    drop column pull_ticket,
    drop column custom_fields,
    drop column region,
    drop column hire_date;

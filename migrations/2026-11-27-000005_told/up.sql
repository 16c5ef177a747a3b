-- A create that took effect is `claimed` as soon as ingest has told its client. What is not claimed a second after it was decided,
-- nobody may have heard of: the repeated request is handed it.
-- Runs beside: any version. As long as a new worker runs beside an ingest of the version before, it takes a POST that is repeated on
-- purpose within an hour for a repetition (201 instead of 409).

-- What was decided until now was told as far as anybody knows.
update commands set state = 'claimed'
    where state = 'decided' and status < 300 and change in ('user.create', 'group.create')
    and decided_at > now() - interval '2 hours';
create index commands_untold on commands (tenant_id, fingerprint)
    where state = 'decided' and status < 300 and change in ('user.create', 'group.create');
comment on column commands.state is 'queued: it was taken for asynchronous processing and has no verdict yet; abandoned: the client was told to try again before a verdict was reached; decided: it has its verdict; unclaimed: it has a verdict that nobody heard; claimed: the client was told the verdict of a create, or ingest read one from here, or it can be fetched.';

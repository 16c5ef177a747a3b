-- Nothing is lost.
drop index commands_untold;
comment on column commands.state is 'queued: it was taken for asynchronous processing and has no verdict yet; abandoned: the client was told to try again before a verdict was reached; decided: it has its verdict; unclaimed: it has a verdict that nobody heard; claimed: ingest read the verdict from here.';

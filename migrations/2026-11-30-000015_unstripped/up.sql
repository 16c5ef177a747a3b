-- The cleaner finds the outcomes that still hold a resource by when they were decided, and reads nothing else: nobody heard them, or
-- somebody did.
-- Runs beside: the version before, whose cleaner goes on as it did.

create index commands_unstripped on commands (state, decided_at)
    where outcome->'record'->'resource' <> '{}';
comment on index commands_unstripped is 'Outcomes that hold a resource, which is personal data: it is taken out after an hour if nobody heard them, else after a day.';

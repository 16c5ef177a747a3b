-- Who works, and which commands are handled alone because they may be what workers died of.
-- Runs beside: any version. It only adds tables and an index, which other versions do not look at.

create table workers (
    id         uuid primary key,
    host       text not null,
    pid        bigint not null,
    version    text not null,
    started_at timestamptz not null,
    seen_at    timestamptz not null,
    queues     jsonb not null
);
comment on table workers is 'A row for each process of worker that runs, renewed every second; what has been silent for an hour is forgotten. Written by worker.';
comment on column workers.id is 'New with every start.';
comment on column workers.queues is 'What it does for each queue, and how much it has done since it started.';

create table suspects (
    ticket   uuid primary key,
    attempts jsonb not null
);
comment on table suspects is 'Commands that are applied by themselves at this moment, because they were in hand before when a worker died; a row outlives its attempt only if the worker dies again. Written by worker.';
comment on column suspects.attempts is 'When and by whom it was tried alone and never heard of again, the oldest first; the last one may be under way.';

-- A try of a request that comes to be applied after a later try has made the group must find that. (Few rows: groups are seldom made.)
create index commands_made on commands (tenant_id, fingerprint) where change = 'group.create' and status < 300;

-- The schema of Rollcall. One crate writes each table; every crate may read it.
-- Runs beside: nothing earlier exists.

-- Tenants and keys -----------------------------------------------------------------------------------------------------

create table tenants (
    id          uuid primary key,
    name        text not null unique check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    settings    jsonb not null default '{}',
    created_at  timestamptz not null default now()
);
comment on table tenants is 'One row per company. Written by `rollcall`.';
comment on column tenants.id is 'UUIDv7.';
comment on column tenants.name is 'The subdomain; also the user name for HTTP Basic authentication.';
comment on column tenants.settings is 'The tenant''s settings. Absent keys have their default.';
comment on column tenants.created_at is 'When the tenant was added.';

create table api_keys (
    id          uuid primary key,
    tenant_id   uuid not null references tenants,
    prefix      text not null unique,
    sha256      text not null,
    scopes      text[] not null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);
create index api_keys_tenant on api_keys (tenant_id);
comment on table api_keys is 'API keys of identity providers and other clients. The key itself is not stored. Written by `rollcall`.';
comment on column api_keys.id is 'UUIDv7; the actor of commands.';
comment on column api_keys.tenant_id is 'The tenant whose data the key gives access to.';
comment on column api_keys.prefix is 'The public part of the key, by which it is looked up.';
comment on column api_keys.sha256 is 'SHA-256 of the whole key, lower-case hexadecimal.';
comment on column api_keys.scopes is 'What the key permits: scim, events, reports, activity.';
comment on column api_keys.created_at is 'When the key was added.';
comment on column api_keys.expires_at is 'The key is invalid from this time on; null: it does not expire.';
comment on column api_keys.revoked_at is 'When the key was revoked; null: it is valid.';
comment on index api_keys_tenant is 'Lists the keys of a tenant.';

create table key_uses (
    key_id       uuid primary key references api_keys on delete cascade,
    last_used_at timestamptz not null
);
comment on table key_uses is 'When each key was last used. Written by ingest.';
comment on column key_uses.key_id is 'The key.';
comment on column key_uses.last_used_at is 'Accurate to the minute.';

create table schemas (
    tenant_id     uuid not null references tenants,
    id            text not null,
    resource_type text not null check (resource_type in ('User', 'Group')),
    definition    jsonb not null,
    created_at    timestamptz not null default now(),
    removed_at    timestamptz,
    primary key (tenant_id, id)
);
comment on table schemas is 'Extension schemas that tenants registered. Written by `rollcall`.';
comment on column schemas.tenant_id is 'The tenant.';
comment on column schemas.id is 'The URN.';
comment on column schemas.resource_type is 'User or Group.';
comment on column schemas.definition is 'The schema in the form of RFC 7643 section 7.';
comment on column schemas.created_at is 'When the schema was registered.';
comment on column schemas.removed_at is 'When it was removed; null: in force. Stored values remain, so the schema can be added again only with a definition that fits them.';

-- The roster -----------------------------------------------------------------------------------------------------------

create table users (
    id              uuid primary key,
    tenant_id       uuid not null references tenants,
    user_name_key   text not null,
    role            text not null default 'learner' check (role in ('admin', 'manager', 'creator', 'learner')),
    origin          text not null check (origin in ('scim', 'manual')),
    archived_at     timestamptz,
    linked_at       timestamptz,
    hire_date       date,
    region          text,
    custom_fields   jsonb,
    resource        jsonb not null,
    search          jsonb not null,
    search_version  bigint not null,
    version         bigint not null,
    ticket          uuid not null,
    pull_ticket     uuid,
    created_ticket  uuid not null,
    created_at      timestamptz not null,
    modified_at     timestamptz not null,
    user_name       text not null generated always as (coalesce(resource ->> 'userName', '')) stored,
    external_id     text generated always as (resource ->> 'externalId') stored,
    given_name      text not null generated always as (coalesce(resource #>> '{name,givenName}', '')) stored,
    family_name     text not null generated always as (coalesce(resource #>> '{name,familyName}', '')) stored,
    display_name    text generated always as (resource ->> 'displayName') stored,
    email           text not null generated always as (coalesce(
                        jsonb_path_query_first(resource, '$.emails[*] ? (@.primary == true).value') #>> '{}',
                        resource #>> '{emails,0,value}', '')) stored,
    location        text generated always as (
                        resource #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,costCenter}') stored,
    business_unit   text generated always as (
                        resource #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,division}') stored,
    department      text generated always as (
                        resource #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,department}') stored,
    employee_number text generated always as (
                        resource #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,employeeNumber}') stored,
    manager_name    text generated always as (coalesce(
                        resource #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,manager,displayName}',
                        resource #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,manager,value}')) stored,
    job_title       text generated always as (resource ->> 'title') stored,
    locale          text generated always as (coalesce(resource ->> 'locale', resource ->> 'preferredLanguage')) stored,
    timezone        text generated always as (resource ->> 'timezone') stored,
    constraint users_user_name_unique unique (tenant_id, user_name_key) deferrable
)
-- An index-only scan skips the table only for pages that vacuum has marked all-visible. By default vacuum waits until a fifth of
-- all rows have changed.
with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);
create index users_list on users (tenant_id, id);
create index users_listed on users (tenant_id, id)
    where origin <> 'manual' or external_id is not null or linked_at is not null;
create index users_unlinked on users (tenant_id, id)
    where external_id is null and linked_at is null and archived_at is null and origin = 'manual';
create index users_user_name on users (tenant_id, (user_name_key collate "C"));
create index users_external_id on users (tenant_id, external_id, archived_at) where external_id is not null;
create index users_display_name on users (tenant_id, ((search ->> 'displayName') collate "C"));
create index users_emails on users using gin ((search -> 'emails') jsonb_path_ops);
create index users_search_outdated on users (id) where search_version <> version;
comment on table users is 'The roster. Written by worker.';
comment on column users.id is 'The SCIM id, UUIDv7.';
comment on column users.tenant_id is 'The tenant.';
comment on column users.user_name_key is 'userName, case-folded by the services, so that the database''s locale does not matter.';
comment on column users.role is 'The role on the learning platform. No SCIM request changes it.';
comment on column users.origin is 'scim: created by an identity provider, without mail; manual: created by hand, with a welcome mail.';
comment on column users.archived_at is 'When SCIM''s active became false; null: active.';
comment on column users.linked_at is 'When an identity provider first changed an account that was created by hand.';
comment on column users.hire_date is 'From the pull; SCIM does not carry it.';
comment on column users.region is 'From the pull; SCIM does not carry it.';
comment on column users.custom_fields is 'From the pull, by the names of the tenant''s attribute map; SCIM does not carry them.';
comment on column users.resource is 'The SCIM resource in canonical form. The generated columns are read from it.';
comment on column users.search is 'The search document: the resource as filters compare it, with case-insensitive values folded and dates in one form.';
comment on column users.search_version is 'The version that the search document was computed from. A worker updates documents that are out of date.';
comment on column users.version is 'Counts changes; the ETag.';
comment on column users.ticket is 'The ticket of the last command that was applied. A command with a smaller ticket is stale.';
comment on column users.pull_ticket is 'The ticket of the last command of the pull. It is separate, so that pull and SCIM do not make each other stale.';
comment on column users.created_ticket is 'The command that created the account.';
comment on column users.created_at is 'SCIM''s meta.created.';
comment on column users.modified_at is 'SCIM''s meta.lastModified.';
comment on column users.user_name is 'userName.';
comment on column users.external_id is 'externalId.';
comment on column users.given_name is 'name.givenName.';
comment on column users.family_name is 'name.familyName.';
comment on column users.display_name is 'displayName.';
comment on column users.email is 'The value of the primary email, else of the first.';
comment on column users.location is 'costCenter of the enterprise extension.';
comment on column users.business_unit is 'division of the enterprise extension.';
comment on column users.department is 'department of the enterprise extension.';
comment on column users.employee_number is 'employeeNumber of the enterprise extension.';
comment on column users.manager_name is 'displayName of the enterprise extension''s manager, else its value.';
comment on column users.job_title is 'title.';
comment on column users.locale is 'locale, else preferredLanguage.';
comment on column users.timezone is 'timezone.';
comment on index users_list is 'Lists of a tenant''s users, with a filter.';
comment on index users_listed is 'Lists without a filter: the condition of LINKED in database::list.';
comment on index users_unlinked is 'The report unlinked.';
comment on index users_user_name is 'Filters and order by userName.';
comment on index users_external_id is 'Users by externalId, active ones and archived ones apart.';
comment on index users_display_name is 'Filters and order by displayName.';
comment on index users_emails is 'Filters by an email.';
comment on index users_search_outdated is 'Search documents that are out of date.';

create table groups (
    id             uuid primary key,
    tenant_id      uuid not null references tenants,
    member_count   bigint not null default 0,
    resource       jsonb not null,
    search         jsonb not null,
    search_version bigint not null,
    version        bigint not null,
    ticket         uuid not null,
    created_at     timestamptz not null,
    modified_at    timestamptz not null,
    display_name   text not null generated always as (coalesce(resource ->> 'displayName', '')) stored,
    external_id    text collate "C" generated always as (resource ->> 'externalId') stored
);
create index groups_list on groups (tenant_id, id);
create index groups_external_id on groups (tenant_id, external_id) where external_id is not null;
create index groups_display_name on groups (tenant_id, ((search ->> 'displayName') collate "C"));
create index groups_search_outdated on groups (id) where search_version <> version;
comment on table groups is 'Groups of users. Written by worker.';
comment on column groups.id is 'The SCIM id, UUIDv7.';
comment on column groups.tenant_id is 'The tenant.';
comment on column groups.member_count is 'The number of its rows in group_members.';
comment on column groups.resource is 'The SCIM resource in canonical form, without its members.';
comment on column groups.search is 'The search document: see users.search.';
comment on column groups.search_version is 'See users.search_version.';
comment on column groups.version is 'Counts changes, those of its members included; the ETag.';
comment on column groups.ticket is 'See users.ticket.';
comment on column groups.created_at is 'SCIM''s meta.created.';
comment on column groups.modified_at is 'SCIM''s meta.lastModified.';
comment on column groups.display_name is 'displayName.';
comment on column groups.external_id is 'externalId.';
comment on index groups_list is 'Lists of a tenant''s groups.';
comment on index groups_external_id is 'Filters by externalId.';
comment on index groups_display_name is 'Filters and order by displayName.';
comment on index groups_search_outdated is 'Search documents that are out of date.';

create table group_members (
    group_id       uuid not null references groups on delete cascade,
    user_id        uuid not null references users on delete cascade,
    display        text,
    display_search text,
    primary key (group_id, user_id)
);
create index group_members_user on group_members (user_id, group_id);
comment on table group_members is 'One row per membership, so that changing one of 100,000 writes one row. Written by worker.';
comment on column group_members.group_id is 'The group.';
comment on column group_members.user_id is 'The member.';
comment on column group_members.display is 'The member''s display as the client sent it; null: the user''s own name.';
comment on column group_members.display_search is 'The same as filters compare it.';
comment on index group_members_user is 'The groups of a user.';

-- Commands and events ---------------------------------------------------------------------------------------------------

create table commands (
    id          uuid primary key,
    tenant_id   uuid not null,
    change      text not null,
    resource_id uuid,
    actor       text not null,
    request_id  uuid not null,
    fingerprint text not null,
    delivery    text not null check (delivery in ('queued', 'expired', 'replied', 'undelivered', 'delivered')),
    status      smallint,
    outcome     jsonb,
    attributes  text[],
    ignored     text[],
    name_digest text,
    issued_at   timestamptz not null,
    decided_at  timestamptz,
    constraint commands_outcome check ((delivery in ('queued', 'expired')) = (outcome is null))
);
create index commands_activity on commands (tenant_id, id);
create index commands_resource on commands (resource_id, id);
create index commands_name_digest on commands (name_digest) where name_digest is not null;
create index commands_undelivered on commands (fingerprint) where delivery = 'undelivered';
create index commands_once on commands (fingerprint)
    where change in ('user.create', 'group.create', 'user.role') and status < 300;
create index commands_fetchable on commands (decided_at) where outcome -> 'record' -> 'resource' <> '{}' and delivery = 'delivered';
comment on table commands is 'Verdicts of commands (the idempotency record) and activity log in one, kept for 30 days. A row is written once, unless its delivery fails. Written by worker; ingest inserts queued and expired rows, and records which verdicts were not delivered.';
comment on column commands.id is 'The ticket, UUIDv7.';
comment on column commands.tenant_id is 'The tenant.';
comment on column commands.change is 'The requested change, such as user.create.';
comment on column commands.resource_id is 'The resource that the command is about.';
comment on column commands.actor is 'The id of the API key, or operator, pull or platform.';
comment on column commands.request_id is 'The request that the command came with.';
comment on column commands.fingerprint is 'SHA-256 over tenant, method, path, body and If-Match. A repeated request has the same fingerprint.';
comment on column commands.delivery is 'queued: an asynchronous request without a verdict; expired: the deadline passed before there was a verdict; replied: the verdict was sent to ingest, or is a late rejection; undelivered: there is a verdict that no client received; delivered: a client has the verdict or can fetch it, or a repeated request has taken its place.';
comment on column commands.status is 'The HTTP status of the verdict.';
comment on column commands.outcome is 'The verdict. It holds the resource only for asynchronous requests, whose clients can fetch it for a day; that of others is in recent_resources.';
comment on column commands.attributes is 'The attributes that a PATCH names; the role that was set.';
comment on column commands.ignored is 'The attributes that the request names and that were left unchanged.';
comment on column commands.name_digest is 'SHA-256 over tenant and case-folded userName, of changes that give a userName. The log is searched by it and contains no names.';
comment on column commands.issued_at is 'When ingest accepted the request.';
comment on column commands.decided_at is 'When the verdict was reached.';
comment on index commands_activity is 'The activity log.';
comment on index commands_resource is 'The activity log of one user.';
comment on index commands_name_digest is 'The activity log of a userName.';
comment on index commands_undelivered is 'Verdicts for repeated requests.';
comment on index commands_once is 'The result of an earlier attempt of a request that must take effect once: a create, or an event that sets a role.';
comment on index commands_fetchable is 'Outcomes that hold a resource, which is personal data to be removed.';

create table recent_resources (
    command  uuid primary key,
    resource jsonb not null
);
comment on table recent_resources is 'Resources as commands left them, for ten minutes: a client may still wait for a verdict whose reply was lost. They are apart from commands, so that its rows stay narrow and need no second write to forget them. Written by worker.';
comment on column recent_resources.command is 'The ticket of the command.';
comment on column recent_resources.resource is 'The SCIM resource, without a group''s members.';

create table receipts (
    command uuid primary key
);
comment on table receipts is 'Creates whose clients received the verdict, kept for two hours. They are apart from commands, so that its wide rows are written once. Written by ingest; worker removes them.';
comment on column receipts.command is 'The ticket of the command.';

create table quarantine (
    ticket   uuid primary key,
    attempts jsonb not null
);
comment on table quarantine is 'Commands that may be poison messages: a worker applies each of them in isolation. A row remains only if the worker dies. Written by worker.';
comment on column quarantine.ticket is 'The command.';
comment on column quarantine.attempts is 'When and by which worker the command was attempted in isolation, the oldest first. The last attempt may be in progress.';

create table outbox (
    position    bigint generated always as identity primary key,
    kind        text not null,
    event       jsonb not null,
    created_at  timestamptz not null default now()
);
comment on table outbox is 'Events that the broker has not confirmed, in order. Written by worker.';
comment on column outbox.position is 'The order.';
comment on column outbox.kind is 'The type of the event, which is its routing key.';
comment on column outbox.event is 'The CloudEvent.';
comment on column outbox.created_at is 'When the transaction that wrote it began.';

create table workers (
    id         uuid primary key,
    host       text not null,
    pid        bigint not null,
    version    text not null,
    started_at timestamptz not null,
    seen_at    timestamptz not null,
    queues     jsonb not null
);
comment on table workers is 'One row per worker process, renewed every second and deleted after an hour of silence. Written by worker.';
comment on column workers.id is 'New with each start.';
comment on column workers.host is 'The name of the machine.';
comment on column workers.pid is 'The process id.';
comment on column workers.version is 'The version of the program.';
comment on column workers.started_at is 'When the process started.';
comment on column workers.seen_at is 'When the row was last renewed.';
comment on column workers.queues is 'For each queue what the worker is doing, and how much it has done since its start.';

-- Assignments and mail ---------------------------------------------------------------------------------------------------

create table assignments (
    tenant_id     uuid not null references tenants,
    id            text not null,
    user_id       uuid not null,
    content_id    text,
    content_kind  text check (content_kind in ('Lesson', 'Path')),
    content_title text,
    content_url   text,
    assigned_at   timestamptz,
    due_by        timestamptz,
    completed_at  timestamptz,
    score         double precision,
    grade_pending boolean not null default false,
    primary key (tenant_id, id)
);
create index assignments_progress on assignments (tenant_id, user_id) include (completed_at, due_by, grade_pending);
comment on table assignments is 'Assignments and completions, from the content service''s events. Written by notifier.';
comment on column assignments.tenant_id is 'The tenant.';
comment on column assignments.id is 'The content service''s id.';
comment on column assignments.user_id is 'The user.';
comment on column assignments.content_id is 'Null while only the completion has arrived.';
comment on column assignments.content_kind is 'Lesson or Path.';
comment on column assignments.content_title is 'The title, for mail and reports.';
comment on column assignments.content_url is 'The link, for mail.';
comment on column assignments.assigned_at is 'When it was assigned.';
comment on column assignments.due_by is 'When it is due; null: there is no due date.';
comment on column assignments.completed_at is 'When it was completed; null: it is open.';
comment on column assignments.score is 'The score of the completion.';
comment on column assignments.grade_pending is 'It is completed, but the score is still pending.';
comment on index assignments_progress is 'What reporting.progress counts.';

create table notifications (
    id           uuid primary key,
    tenant_id    uuid not null references tenants,
    user_id      uuid not null,
    kind         text not null check (kind in ('welcome', 'first_assignment', 'assignment', 'digest')),
    state        text not null check (state in ('pending', 'sending', 'sent', 'suppressed', 'failed')),
    reason       text,
    event_source text not null,
    event_id     text not null,
    context      jsonb not null default '{}',
    attempts     integer not null default 0,
    decided_at   timestamptz not null,
    due_at       timestamptz not null,
    sent_at      timestamptz,
    give_up_at   timestamptz,
    dated_at     timestamptz,
    in_doubt     boolean not null default false,
    last_attempt jsonb,
    unique (tenant_id, event_source, event_id, kind)
);
create unique index notifications_once on notifications (user_id, kind)
    where (state not in ('suppressed', 'failed') or sent_at is not null or in_doubt) and kind in ('welcome', 'first_assignment');
create unique index notifications_waiting on notifications (user_id, kind)
    where state = 'pending' and attempts = 0 and kind in ('assignment', 'digest');
create index notifications_user on notifications (user_id, kind);
create index notifications_recent on notifications (decided_at desc, id);
create index notifications_due on notifications (due_at) where state in ('pending', 'sending');
create index notifications_due_of on notifications (tenant_id, due_at) where state in ('pending', 'sending');
comment on table notifications is 'The mail ledger: every decision to send or not to send, and its result. Written by notifier; `rollcall mail resend` sets a mail back to pending.';
comment on column notifications.id is 'Also the Message-ID: a resend has the same one.';
comment on column notifications.tenant_id is 'The tenant.';
comment on column notifications.user_id is 'The recipient.';
comment on column notifications.kind is 'welcome; first_assignment; assignment: a later one, if assignment_mail is every; digest: the later ones of a day, if it is digest.';
comment on column notifications.state is 'pending: to be sent at due_at; sending: leased to a notifier until due_at; sent; suppressed: not to be sent, see reason; failed: given up, see reason.';
comment on column notifications.reason is 'Why it was suppressed or has failed.';
comment on column notifications.event_source is 'The source of the event that caused the decision.';
comment on column notifications.event_id is 'The id of that event.';
comment on column notifications.context is 'What the mail says beside the user''s name: the assignments. Assignments that are completed before the first attempt are removed.';
comment on column notifications.attempts is 'How often sending was attempted.';
comment on column notifications.decided_at is 'When the decision was made.';
comment on column notifications.due_at is 'When it is to be sent, or sent again.';
comment on column notifications.sent_at is 'When the mail server accepted it.';
comment on column notifications.give_up_at is 'Retries end here, 72 hours after the first attempt; null: not attempted yet.';
comment on column notifications.dated_at is 'The Date of the mail; null: decided_at.';
comment on column notifications.in_doubt is 'An attempt may have reached the recipient: the mail server''s last answer, or the notifier, was lost.';
comment on column notifications.last_attempt is 'The last attempt: at; ended: sent, refused (permanently), put_off (temporarily), unknown (it may have arrived) or unwritten (the mail could not be composed); why.';
comment on index notifications_once is 'At most one welcome mail and one mail about a first assignment per user.';
comment on index notifications_waiting is 'At most one pending mail of each kind gathers a user''s assignments.';
comment on index notifications_user is 'The mail of a user.';
comment on index notifications_recent is '`rollcall mail list`.';
comment on index notifications_due is 'Mail that is due.';
comment on index notifications_due_of is 'Mail of one tenant that is due.';

create table mail_rates (
    tenant_id uuid primary key references tenants,
    next_at   timestamptz not null default '-infinity'
);
comment on table mail_rates is 'The rate limit of tenants with mails_per_minute, across all notifiers. Written by notifier.';
comment on column mail_rates.tenant_id is 'The tenant.';
comment on column mail_rates.next_at is 'The next mail may be sent at this time.';

create table unsubscribed (
    tenant_id uuid not null references tenants,
    user_id   uuid not null,
    since     timestamptz not null default now(),
    primary key (tenant_id, user_id)
);
comment on table unsubscribed is 'Users who unsubscribed from mail about assignments after the first. Written by ingest.';
comment on column unsubscribed.tenant_id is 'The tenant.';
comment on column unsubscribed.user_id is 'The user.';
comment on column unsubscribed.since is 'When they unsubscribed.';

create table received_events (
    tenant_id   uuid not null references tenants,
    source      text not null,
    id          text not null,
    received_at timestamptz not null default now(),
    primary key (tenant_id, source, id)
);
create index received_events_age on received_events (received_at);
comment on table received_events is 'Events that were processed, for deduplication. Kept for 30 days. Written by notifier.';
comment on column received_events.tenant_id is 'The tenant.';
comment on column received_events.source is 'The source of the event.';
comment on column received_events.id is 'The id of the event.';
comment on column received_events.received_at is 'When it was processed.';
comment on index received_events_age is 'Finds old rows to delete.';

create table parked_events (
    tenant_id  uuid not null references tenants,
    source     text not null,
    id         text not null,
    user_id    uuid not null,
    event      jsonb not null,
    attempts   integer not null default 0,
    parked_at  timestamptz not null,
    due_at     timestamptz not null,
    primary key (tenant_id, source, id)
);
create index parked_events_due on parked_events (due_at);
create index parked_events_user on parked_events (user_id);
comment on table parked_events is 'Events about unknown users. They are retried when the user is created, and at due_at. Written by notifier.';
comment on column parked_events.tenant_id is 'The tenant.';
comment on column parked_events.source is 'The source of the event.';
comment on column parked_events.id is 'The id of the event.';
comment on column parked_events.user_id is 'The unknown user.';
comment on column parked_events.event is 'The CloudEvent.';
comment on column parked_events.attempts is 'How often it was retried.';
comment on column parked_events.parked_at is 'When it was parked.';
comment on column parked_events.due_at is 'When it is retried.';
comment on index parked_events_due is 'Events to be retried.';
comment on index parked_events_user is 'Events of a user who was created.';

-- The pull ---------------------------------------------------------------------------------------------------------------

create table pulls (
    tenant_id       uuid primary key references tenants,
    okta_url        text not null,
    group_id        text not null,
    token           bytea not null,
    map             jsonb not null,
    archive_missing boolean not null default false,
    limit_percent   smallint not null default 20 check (limit_percent between 0 and 100),
    set_at          timestamptz not null
);
comment on table pulls is 'Tenants whose users are pulled from Okta, and how. Written by `rollcall`.';
comment on column pulls.tenant_id is 'The tenant.';
comment on column pulls.okta_url is 'Okta''s API: scheme, host and port.';
comment on column pulls.group_id is 'Okta''s group whose members are read.';
comment on column pulls.token is 'Okta''s read-only API token, encrypted with ROLLCALL_SECRET_KEY and bound to the tenant and the URL.';
comment on column pulls.map is 'Which attribute of Okta''s profile fills which column.';
comment on column pulls.archive_missing is 'Whether users who are missing from the group are archived.';
comment on column pulls.limit_percent is 'The share of the active users that is archived without a confirmation.';
comment on column pulls.set_at is 'When the pull was configured. Earlier slots are not run.';

create table pull_requests (
    id           uuid primary key,
    tenant_id    uuid not null references tenants,
    confirms     uuid,
    requested_at timestamptz not null
);
create index pull_requests_age on pull_requests (requested_at);
comment on table pull_requests is 'Operators'' requests: to start a run now, or to continue one that awaits confirmation. Written by `rollcall`.';
comment on column pull_requests.id is 'Also the id of the run that is requested.';
comment on column pull_requests.tenant_id is 'The tenant.';
comment on column pull_requests.confirms is 'The run that is confirmed; null: a run is requested.';
comment on column pull_requests.requested_at is 'When it was requested.';
comment on index pull_requests_age is 'Requests in order.';

create table pull_runs (
    id          uuid primary key,
    tenant_id   uuid not null references tenants,
    slot        text not null,
    state       text not null check (state in ('waiting', 'running', 'asks', 'done', 'failed')),
    phase       text not null default 'read' check (phase in ('read', 'compare', 'archive')),
    holder      uuid,
    lease_until timestamptz,
    next_link   text,
    pages       integer not null default 0,
    people      bigint not null default 0,
    strangers   bigint not null default 0,
    changes     bigint not null default 0,
    unreadable  bigint not null default 0,
    ambiguous   bigint not null default 0,
    roster      bigint,
    linked      bigint,
    gone        bigint,
    archiving   bigint not null default 0,
    confirmed   boolean not null default false,
    reason      text,
    set_at      timestamptz,
    rests_until timestamptz,
    due_at      timestamptz not null,
    started_at  timestamptz,
    finished_at timestamptz,
    unique (tenant_id, slot)
);
create unique index pull_runs_one_at_a_time on pull_runs (tenant_id) where state = 'running';
create index pull_runs_open on pull_runs (due_at) where state in ('waiting', 'running');
comment on table pull_runs is 'Runs of the pull: one per tenant and slot, whatever the number of ingests. Written by ingest.';
comment on column pull_runs.id is 'UUIDv7.';
comment on column pull_runs.tenant_id is 'The tenant.';
comment on column pull_runs.slot is 'The time at which the run was due, or the id of the request.';
comment on column pull_runs.state is 'waiting: no ingest has started it; running; asks: it waits for `rollcall pull confirm`; done; failed: given up, see reason.';
comment on column pull_runs.phase is 'read: the pages of the group; compare: the reconciliation; archive: commands are queued. A run resumes here after a crash.';
comment on column pull_runs.holder is 'The ingest that holds the lease.';
comment on column pull_runs.lease_until is 'When the lease ends; another ingest continues then.';
comment on column pull_runs.next_link is 'The next page in the phase read; null: the first.';
comment on column pull_runs.pages is 'Pages read.';
comment on column pull_runs.people is 'Members of Okta''s group.';
comment on column pull_runs.strangers is 'Members without an account here.';
comment on column pull_runs.changes is 'Commands queued.';
comment on column pull_runs.unreadable is 'Values that could not be used, such as an invalid hire date.';
comment on column pull_runs.ambiguous is 'Members whose external id several accounts share that the login does not tell apart. They are not changed.';
comment on column pull_runs.roster is 'Users who were active at the reconciliation.';
comment on column pull_runs.linked is 'Those of them who are linked to Okta or were created by SCIM.';
comment on column pull_runs.gone is 'Those of them who are missing from the group.';
comment on column pull_runs.archiving is 'Those of them for whom a command to archive was queued.';
comment on column pull_runs.confirmed is 'Whether an operator confirmed the archiving.';
comment on column pull_runs.reason is 'Why the run failed, or awaits confirmation.';
comment on column pull_runs.set_at is 'The pulls.set_at with which the run began. The run fails if the pull is reconfigured.';
comment on column pull_runs.rests_until is 'Until then no request is sent, because Okta''s rate limit is used up.';
comment on column pull_runs.due_at is 'When the run is due.';
comment on column pull_runs.started_at is 'When the run began.';
comment on column pull_runs.finished_at is 'When the run ended.';
comment on index pull_runs_one_at_a_time is 'At most one run per tenant.';
comment on index pull_runs_open is 'Runs to be started or continued.';

create table pull_seen (
    run_id        uuid not null references pull_runs on delete cascade,
    okta_id       text collate "C" not null,
    external_id   text collate "C" not null,
    user_name_key text collate "C" not null,
    is_known      boolean not null,
    primary key (run_id, okta_id)
);
create index pull_seen_external_ids on pull_seen (run_id, external_id);
create index pull_seen_names on pull_seen (run_id, user_name_key);
comment on table pull_seen is 'Members of Okta''s group, while a run reads it. Written by ingest.';
comment on column pull_seen.run_id is 'The run.';
comment on column pull_seen.okta_id is 'Okta''s id.';
comment on column pull_seen.external_id is 'The value of the attribute that the map names as external_id, else Okta''s id.';
comment on column pull_seen.user_name_key is 'The login, case-folded as users.user_name_key.';
comment on column pull_seen.is_known is 'Whether Okta sent an external id that no other member has.';
comment on index pull_seen_external_ids is 'The reconciliation by externalId.';
comment on index pull_seen_names is 'The reconciliation by login.';

create table pull_missing (
    run_id  uuid not null references pull_runs on delete cascade,
    user_id uuid not null,
    version bigint not null,
    queued  boolean not null default false,
    primary key (run_id, user_id)
);
comment on table pull_missing is 'Users who are active here and missing from Okta''s group, as a run found them. Written by ingest.';
comment on column pull_missing.run_id is 'The run.';
comment on column pull_missing.user_id is 'The user.';
comment on column pull_missing.version is 'The version that was compared: a user who has changed since is not archived.';
comment on column pull_missing.queued is 'Whether a command to archive was queued.';

-- Reports ----------------------------------------------------------------------------------------------------------------

-- The barrier of the schema reporting (security_barrier) keeps PostgreSQL from reading a page by an index, so the services read the
-- views behind it.
create schema reporting_source;
comment on schema reporting_source is 'What the views of the schema reporting show, for the services alone.';
create view reporting_source.learners as
    select u.tenant_id, t.name as tenant, u.id, u.user_name, u.given_name, u.family_name, u.email, u.role, u.location,
           u.business_unit, u.department, u.job_title, u.manager_name, u.employee_number, u.external_id, u.locale,
           u.timezone, u.created_at, u.modified_at, u.hire_date, u.region, u.custom_fields
    from users u join tenants t on t.id = u.tenant_id
    where u.archived_at is null;
create view reporting_source.assignments as
    select a.tenant_id, t.name as tenant, a.id, a.user_id, u.user_name, u.given_name, u.family_name, u.email, u.location,
           u.business_unit, a.content_id, a.content_kind, a.content_title, a.content_url, a.assigned_at, a.due_by,
           a.completed_at, a.score,
           case when a.completed_at is not null and a.grade_pending then 'Grade Pending'
                when a.completed_at is not null then 'Completed'
                when a.due_by < now() then 'Overdue' else 'Incomplete' end as status,
           a.grade_pending
    from assignments a join users u on u.tenant_id = a.tenant_id and u.id = a.user_id join tenants t on t.id = a.tenant_id
    where u.archived_at is null;
create view reporting_source.unlinked as
    select u.tenant_id, t.name as tenant, u.id, u.user_name, u.email, u.location, u.business_unit, u.role, u.origin, u.created_at
    from users u join tenants t on t.id = u.tenant_id
    where u.archived_at is null and u.external_id is null and u.linked_at is null and u.origin = 'manual';
comment on view reporting_source.learners is 'Behind reporting.learners.';
comment on view reporting_source.assignments is 'Behind reporting.assignments.';
comment on view reporting_source.unlinked is 'Behind reporting.unlinked.';

-- Members of rollcall_reporting read these. Without the barrier, a reader's function in a condition could see archived users.
create schema reporting;
comment on schema reporting is 'Reports for SQL. Archived users are in none of them, from the same transaction on; a reactivated user reappears with all history.';
create view reporting.learners with (security_barrier) as select * from reporting_source.learners;
create view reporting.assignments with (security_barrier) as select * from reporting_source.assignments;
create view reporting.unlinked with (security_barrier) as select * from reporting_source.unlinked;
create view reporting.progress with (security_barrier) as
    select u.tenant_id, t.name as tenant, u.id, u.location, u.business_unit, count(a.user_id) as assigned,
           count(a.user_id) filter (where a.completed_at is not null and not a.grade_pending) as completed,
           count(a.user_id) filter (where a.completed_at is null and a.due_by < now()) as overdue
    from users u join tenants t on t.id = u.tenant_id
         left join assignments a on a.tenant_id = u.tenant_id and a.user_id = u.id
    where u.archived_at is null
    group by u.id, t.id;
create view reporting.locations with (security_barrier) as
    select tenant_id, tenant, location, count(*) as learners, sum(assigned)::bigint as assigned,
           sum(completed)::bigint as completed, sum(overdue)::bigint as overdue
    from reporting.progress where location is not null group by tenant_id, tenant, location;
create view reporting.business_units with (security_barrier) as
    select tenant_id, tenant, business_unit, count(*) as learners, sum(assigned)::bigint as assigned,
           sum(completed)::bigint as completed, sum(overdue)::bigint as overdue
    from reporting.progress where business_unit is not null group by tenant_id, tenant, business_unit;
comment on view reporting.learners is 'All active users.';
comment on column reporting.learners.hire_date is 'From the pull.';
comment on column reporting.learners.region is 'From the pull.';
comment on column reporting.learners.custom_fields is 'From the pull.';
comment on view reporting.assignments is 'Assignments of active users, and their status.';
comment on column reporting.assignments.status is 'Completed, Grade Pending (completed, the score is still pending), Overdue or Incomplete.';
comment on view reporting.unlinked is 'Active accounts that no identity provider owns: deactivating the person there does not deactivate the account here.';
comment on view reporting.progress is 'The number of assignments of each active user; the next two views add them up.';
comment on view reporting.locations is 'The active users of each location, and their progress.';
comment on view reporting.business_units is 'The active users of each business unit, and their progress.';

-- A database user who reads reports is made a member of this role. If our own user may not create roles, an administrator creates it.
do $$ begin
    for attempt in 1..50 loop
        begin
            if not exists (select from pg_roles where rolname = 'rollcall_reporting') then
                create role rollcall_reporting nologin;
            end if;
            grant usage on schema reporting to rollcall_reporting;
            grant select on all tables in schema reporting to rollcall_reporting;
            exit;
        exception
            when insufficient_privilege then
                raise notice 'the role rollcall_reporting was not created: this needs a user with CREATEROLE';
                exit;
            -- Another database of the same server is creating it.
            when unique_violation or duplicate_object or undefined_object then
                perform pg_sleep(0.1);
        end;
    end loop;
end $$;

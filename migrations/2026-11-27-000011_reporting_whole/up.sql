-- Reports that stay quick over a large roster, that a guard keeps from telling of the archived, and that know what the pull brings and
-- which scores are still to come.
-- Runs beside: the version before. Its reports read the same columns of the same views, more slowly; a completion whose score is still
-- to come is Completed to its notifier: update the notifiers before the content service sends `gradePending`.

-- First the views, in the order in which a report locks them: one that is being read waits for nothing that is locked here.
alter view reporting.business_units set (security_barrier);
alter view reporting.locations set (security_barrier);
alter view reporting.progress set (security_barrier);
alter view reporting.assignments set (security_barrier);
alter view reporting.unlinked set (security_barrier);
alter view reporting.learners set (security_barrier);

alter table assignments add column grade_pending boolean not null default false;
comment on column assignments.grade_pending is 'It is completed, and its score is still to come.';

-- What is counted for everybody is read from this index alone.
create index assignments_progress on assignments (tenant_id, user_id) include (completed_at, due_by, grade_pending);
drop index assignments_user;
alter table commands add column attributes text[];
comment on column commands.attributes is 'Of a PATCH the names of the attributes that it is about.';
create index commands_resource on commands (tenant_id, resource_id, id);
comment on index commands_resource is 'The activity log of one user.';

-- The guard (security_barrier) keeps Postgres from leading a page by an index, so the services read what is behind it.
create schema living;
comment on schema living is 'What the views of the schema reporting show, for the services alone.';

create view living.learners as
    select u.tenant_id, t.name as tenant, u.id, u.user_name, u.given_name, u.family_name, u.email, u.role, u.location,
           u.business_unit, u.department, u.job_title, u.manager_name, u.employee_number, u.external_id, u.locale,
           u.timezone, u.created_at, u.modified_at, u.hire_date, u.region, u.custom_fields
    from users u join tenants t on t.id = u.tenant_id
    where u.archived_at is null;

create view living.assignments as
    select a.tenant_id, t.name as tenant, a.id, a.user_id, u.user_name, u.given_name, u.family_name, u.email, u.location,
           u.business_unit, a.content_id, a.content_kind, a.content_title, a.content_url, a.assigned_at, a.due_by,
           a.completed_at, a.score,
           case when a.completed_at is not null and a.grade_pending then 'Grade Pending'
                when a.completed_at is not null then 'Completed'
                when a.due_by < now() then 'Overdue' else 'Incomplete' end as status,
           a.grade_pending
    from assignments a join users u on u.tenant_id = a.tenant_id and u.id = a.user_id join tenants t on t.id = a.tenant_id
    where u.archived_at is null;

create view living.unlinked as
    select u.tenant_id, t.name as tenant, u.id, u.user_name, u.email, u.location, u.business_unit, u.role, u.origin, u.created_at
    from users u join tenants t on t.id = u.tenant_id
    where u.archived_at is null and u.external_id is null and u.origin = 'manual';

-- Members of rollcall_reporting read these. Without the guard a function of theirs in a condition could see who is archived.
create or replace view reporting.learners with (security_barrier) as select * from living.learners;
create or replace view reporting.assignments with (security_barrier) as select * from living.assignments;
create or replace view reporting.unlinked with (security_barrier) as select * from living.unlinked;
create or replace view reporting.progress with (security_barrier) as
    select u.tenant_id, t.name as tenant, u.id, u.location, u.business_unit, count(a.user_id) as assigned,
           count(a.user_id) filter (where a.completed_at is not null and not a.grade_pending) as completed,
           count(a.user_id) filter (where a.completed_at is null and a.due_by < now()) as overdue
    from users u join tenants t on t.id = u.tenant_id
         left join assignments a on a.tenant_id = u.tenant_id and a.user_id = u.id
    where u.archived_at is null
    group by u.id, t.id;
create or replace view reporting.locations with (security_barrier) as
    select tenant_id, tenant, location, count(*) as learners, sum(assigned)::bigint as assigned,
           sum(completed)::bigint as completed, sum(overdue)::bigint as overdue
    from reporting.progress where location is not null group by tenant_id, tenant, location;
create or replace view reporting.business_units with (security_barrier) as
    select tenant_id, tenant, business_unit, count(*) as learners, sum(assigned)::bigint as assigned,
           sum(completed)::bigint as completed, sum(overdue)::bigint as overdue
    from reporting.progress where business_unit is not null group by tenant_id, tenant, business_unit;
comment on view living.learners is 'Behind reporting.learners.';
comment on view living.assignments is 'Behind reporting.assignments.';
comment on view living.unlinked is 'Behind reporting.unlinked.';
comment on index assignments_progress is 'What reporting.progress counts.';
comment on column reporting.assignments.status is 'Completed, Grade Pending (handed in, the score is still to come), Overdue or Incomplete.';
comment on column reporting.learners.hire_date is 'From the pull.';
comment on column reporting.learners.region is 'From the pull.';
comment on column reporting.learners.custom_fields is 'From the pull.';

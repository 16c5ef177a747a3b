-- Back to the views as they were; which scores are still to come is forgotten.
drop view reporting.locations, reporting.business_units, reporting.progress, reporting.assignments, reporting.learners, reporting.unlinked;
drop schema living cascade;
drop index commands_resource;
alter table commands drop column attributes;
create index assignments_user on assignments (user_id);
drop index assignments_progress;
alter table assignments drop column grade_pending;

create view reporting.learners as
    select u.tenant_id, t.name as tenant, u.id, u.user_name, u.given_name, u.family_name, u.email, u.role, u.location,
           u.business_unit, u.department, u.job_title, u.manager_name, u.employee_number, u.external_id, u.locale,
           u.timezone, u.created_at, u.modified_at
    from users u join tenants t on t.id = u.tenant_id
    where u.archived_at is null;
comment on view reporting.learners is 'Everybody who is not archived.';

create view reporting.assignments as
    select a.tenant_id, l.tenant, a.id, a.user_id, l.user_name, l.given_name, l.family_name, l.email, l.location,
           l.business_unit, a.content_id, a.content_kind, a.content_title, a.content_url, a.assigned_at, a.due_by,
           a.completed_at, a.score,
           case when a.completed_at is not null then 'Completed' when a.due_by < now() then 'Overdue' else 'Incomplete' end
               as status
    from assignments a join reporting.learners l on l.id = a.user_id and l.tenant_id = a.tenant_id;
comment on view reporting.assignments is 'What was assigned to whoever is not archived, and what came of it.';
comment on column reporting.assignments.status is 'Completed, Overdue or Incomplete.';

create view reporting.progress as
    select l.tenant_id, l.tenant, l.id, l.location, l.business_unit, count(a.id) as assigned,
           count(a.id) filter (where a.status = 'Completed') as completed,
           count(a.id) filter (where a.status = 'Overdue') as overdue
    from reporting.learners l left join reporting.assignments a on a.user_id = l.id and a.tenant_id = l.tenant_id
    group by l.tenant_id, l.tenant, l.id, l.location, l.business_unit;
comment on view reporting.progress is 'How far everybody is with what was assigned to them: what the next two add up.';

create view reporting.locations as
    select tenant_id, tenant, location, count(*) as learners, sum(assigned)::bigint as assigned,
           sum(completed)::bigint as completed, sum(overdue)::bigint as overdue
    from reporting.progress where location is not null group by tenant_id, tenant, location;
comment on view reporting.locations is 'For each location how many live there, and how far they are with what was assigned to them.';

create view reporting.business_units as
    select tenant_id, tenant, business_unit, count(*) as learners, sum(assigned)::bigint as assigned,
           sum(completed)::bigint as completed, sum(overdue)::bigint as overdue
    from reporting.progress where business_unit is not null group by tenant_id, tenant, business_unit;
comment on view reporting.business_units is 'The same for each business unit.';

create view reporting.unlinked as
    select u.tenant_id, t.name as tenant, u.id, u.user_name, u.email, u.location, u.business_unit, u.role, u.origin, u.created_at
    from users u join tenants t on t.id = u.tenant_id
    where u.archived_at is null and u.external_id is null and u.origin = 'manual';
comment on view reporting.unlinked is 'Accounts that no identity provider owns: deactivating the person there does not deactivate the account here.';
-- As in 000008: whoever reads reports by SQL is a member of this role.
do $$ begin
    if exists (select from pg_roles where rolname = 'rollcall_reporting') then
        grant select on all tables in schema reporting to rollcall_reporting;
    end if;
exception
    when insufficient_privilege then
        raise notice 'rollcall_reporting was not granted the views: this needs their owner';
end $$;

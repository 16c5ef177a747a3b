//! The statements that lease mail.

/// Each rate-limited tenant has one row, which is locked to lease mail for it.
pub(super) const RATE_LIMIT: &str = "insert into mail_rates (tenant_id)
  select t.id from tenants t where jsonb_typeof(t.settings->'mails_per_minute') = 'number'
    and t.settings->'mails_per_minute' <> '0' and not exists (select 1 from mail_rates p where p.tenant_id = t.id)
  on conflict do nothing";

/// Mail that is due. Optional mail does not overtake the user's first-assignment mail. (The subquery with a limit makes
/// Postgres use the index for each row.)
macro_rules! due {
    () => {
        "n.state in ('pending', 'sending') and n.due_at <= now()
           and (n.kind not in ('assignment', 'digest') or (select 1 from notifications f
             where f.user_id = n.user_id and f.kind = 'first_assignment' and f.state in ('pending', 'sending')
               and f.sent_at is null limit 1) is null)"
    };
}

/// The minimum interval between a tenant's mails; null if the tenant is not rate-limited.
macro_rules! gap {
    () => {
        "interval '60 seconds' / nullif(case when jsonb_typeof(t.settings->'mails_per_minute') = 'number'
           and t.settings->>'mails_per_minute' ~ '^[0-9]{1,10}$'
           then (t.settings->>'mails_per_minute')::float8 else 0 end, 0)"
    };
}

/// One due mail of each rate-limited tenant whose interval has passed. Higher rates than one a second are reached by
/// several queries: up to a second of unused rate is carried over.
pub(super) const LIMITED: &str = concat!(
    "with chosen as (
    select d.id, p.tenant_id, p.gap
    from (select p.tenant_id, ",
    gap!(),
    " as gap from mail_rates p join tenants t on t.id = p.tenant_id
        where p.next_at <= now() order by p.next_at for update of p skip locked) p
      cross join lateral (select n.id from notifications n where n.tenant_id = p.tenant_id and ",
    due!(),
    " order by n.due_at limit 1 for update skip locked) d
    where p.gap is not null limit $1)
  update mail_rates p set next_at = greatest(p.next_at, now() - greatest(interval '1 second' - gap, interval '0')) + gap
  from chosen where chosen.tenant_id = p.tenant_id returning chosen.id"
);

/// Leases the given mails and those of tenants without a rate limit. Rows locked by another notifier are skipped.
///
/// Mail is suppressed if its user was archived or deleted or has unsubscribed, unless it was sent before. A row that is
/// still `sending` when its lease ends may have been sent. The 72 hours begin with the first attempt.
pub(super) const LEASE: &str = concat!(
    "with free as (
    select n.id from notifications n join tenants t on t.id = n.tenant_id where ",
    gap!(),
    " is null and ",
    due!(),
    " order by n.due_at limit $3 for update of n skip locked),
  due as (
    select n.id, u.given_name, u.family_name, u.display_name, u.user_name, u.email, u.locale, u.timezone,
           t.name as tenant, t.settings,
           case when u.id is null then $1 when u.archived_at is not null then $2
                when n.kind in ('assignment', 'digest') and exists (select 1 from unsubscribed o
                  where o.tenant_id = n.tenant_id and o.user_id = n.user_id) then $5 end as gone
    from (select unnest($6) as id union all select id from free) c join notifications n on n.id = c.id
      join tenants t on t.id = n.tenant_id left join users u on u.id = n.user_id and u.tenant_id = n.tenant_id)
  update notifications n set
    state = case when due.gone is null then 'sending' when n.sent_at is null then 'suppressed' else 'sent' end,
    reason = case when n.sent_at is null then due.gone end,
    attempts = n.attempts + case when due.gone is null then 1 else 0 end,
    in_doubt = n.in_doubt or n.state = 'sending',
    give_up_at = coalesce(n.give_up_at, now() + interval '72 hours'),
    due_at = now() + $4 * interval '1 second'
  from due where n.id = due.id
  returning n.id, n.tenant_id, n.user_id, n.kind, due.gone as reason, n.event_id, n.context, n.attempts,
            coalesce(n.dated_at, n.decided_at) as dated_at, n.give_up_at <= now() as is_last,
            due.tenant, due.settings, due.locale, due.timezone,
            due.given_name, due.family_name, due.display_name, due.user_name, due.email"
);

/// Mail that is suppressed does not count against the rate limit.
pub(super) const GIVE_BACK: &str = "update mail_rates set next_at = now() where tenant_id = any($1)";

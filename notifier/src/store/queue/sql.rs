//! The statements that lease mail, fair between tenants: none reads more than a few rows of any tenant, whatever the
//! number of its mails.

/// The tenants with mail that is waiting, in the order of their ids, after $1; at most $2. Each step is one descent of
/// the index `notifications_due_of` to the next tenant's earliest mail. A tenant whose rate limit is used up has its next
/// turn later, and none of its other rows is read.
pub(super) const WAITING: &str = "with recursive step as (
    (select n.tenant_id, n.due_at, 1::bigint as number from notifications n
      where n.state in ('pending', 'sending') and n.tenant_id > $1 order by n.tenant_id, n.due_at limit 1)
    union all
    select next.tenant_id, next.due_at, s.number + 1 from step s cross join lateral (
      select n.tenant_id, n.due_at from notifications n
      where n.state in ('pending', 'sending') and n.tenant_id > s.tenant_id order by n.tenant_id, n.due_at limit 1) next
    where s.number < $2)
  select s.tenant_id, s.due_at <= now() and (p.next_at is null or p.next_at <= now()) as is_due
  from step s left join mail_rates p on p.tenant_id = s.tenant_id order by s.number";

/// Each tenant has one row, which is locked to lease mail within its rate limit.
pub(super) const RATES: &str = "insert into mail_rates (tenant_id)
  select t.id from tenants t where t.id = any($1) and not exists (select 1 from mail_rates p where p.tenant_id = t.id)
  on conflict do nothing";

/// Chooses due mails of the tenants $1, at most $2 of each and $3 in all, one of each tenant in turn, and counts them
/// against the tenants' rate limits (default: $4 mails a minute). Rows locked by another notifier are skipped. Up to a
/// second of unused rate is carried over.
///
/// Optional mail does not overtake the user's first-assignment mail: it is put off until that is due. So a number of such
/// mails delays nobody's turn, and is not read again at each turn.
///
/// The range of pairs can only be read from `notifications_due_of`. With an equality of tenants PostgreSQL may read
/// `notifications_due` instead, and with it the mail of all tenants.
pub(super) const CHOOSE: &str = "with asked as (
    select a.tenant_id, a.quota, a.position,
           interval '60 seconds' / nullif(case when jsonb_typeof(t.settings->'mails_per_minute') = 'number'
             and t.settings->>'mails_per_minute' ~ '^[0-9]{1,10}$'
             then (t.settings->>'mails_per_minute')::float8 else $4 end, 0) as gap
    from unnest($1, $2) with ordinality a (tenant_id, quota, position) join tenants t on t.id = a.tenant_id),
  rates as (
    select p.tenant_id, p.next_at from mail_rates p where p.next_at <= now()
      and p.tenant_id in (select tenant_id from asked where gap is not null) for update skip locked),
  allowed as (
    select tenant_id, quota, position from asked where gap is null
    union all
    select a.tenant_id, least(a.quota, 1 + floor(extract(epoch from now() - greatest(r.next_at,
      now() - greatest(interval '1 second' - a.gap, interval '0'))) / extract(epoch from a.gap)))::int, a.position
    from asked a join rates r on r.tenant_id = a.tenant_id),
  looked as (
    select n.id, n.tenant_id, n.due_at, a.quota, a.position, first.due_at as first_due, first.state as first_state
    from allowed a
      cross join lateral (select n.id, n.tenant_id, n.user_id, n.kind, n.due_at from notifications n
        where n.state in ('pending', 'sending') and (n.tenant_id, n.due_at) <= (a.tenant_id, now())
          and (n.tenant_id, n.due_at) >= (a.tenant_id, '-infinity'::timestamptz)
        order by n.tenant_id, n.due_at limit a.quota + 16) n
      left join lateral (select f.due_at, f.state from notifications f where n.kind in ('assignment', 'digest')
        and f.user_id = n.user_id and f.kind = 'first_assignment' and f.state in ('pending', 'sending')
        and f.sent_at is null limit 1) first on true),
  put_off as (
    update notifications n set due_at = case when l.first_state = 'sending' then now() + interval '1 second'
      else greatest(l.first_due, now() + interval '2 seconds') end
    from looked l where n.id = l.id and n.id in (
      select n.id from notifications n where n.id = any(array(select id from looked where first_due is not null))
        and n.state in ('pending', 'sending') and n.due_at <= now() for update of n skip locked)
    returning n.id, n.tenant_id),
  ranked as (
    select id, position, quota, row_number() over (partition by tenant_id order by due_at, id) as place
    from looked where first_due is null),
  chosen as (
    select n.id, n.tenant_id from notifications n where n.id = any(array(
      select id from ranked where place <= quota order by place, position limit $3))
    and n.state in ('pending', 'sending') and n.due_at <= now() for update of n skip locked),
  paced as (
    update mail_rates p set next_at =
      greatest(p.next_at, now() - greatest(interval '1 second' - a.gap, interval '0')) + c.mails * a.gap
    from (select tenant_id, count(*) as mails from chosen group by tenant_id) c join asked a on a.tenant_id = c.tenant_id
    where p.tenant_id = c.tenant_id and a.gap is not null)
  select id, false as is_put_off from chosen union all select id, true from put_off";

/// Leases the chosen mails.
///
/// Mail is suppressed if its user was archived or deleted or has unsubscribed, unless it was sent before. A row that is
/// still `sending` when its lease ends may have been sent. The 72 hours begin with the first attempt.
pub(super) const LEASE: &str = "with due as (
    select n.id, u.given_name, u.family_name, u.display_name, u.user_name, u.email, u.locale, u.timezone,
           t.name as tenant, t.settings,
           case when u.id is null then $1 when u.archived_at is not null then $2
                when n.kind in ('assignment', 'digest') and exists (select 1 from unsubscribed o
                  where o.tenant_id = n.tenant_id and o.user_id = n.user_id) then $4 end as gone
    from unnest($5) as c (id) join notifications n on n.id = c.id
      join tenants t on t.id = n.tenant_id left join users u on u.id = n.user_id and u.tenant_id = n.tenant_id)
  update notifications n set
    state = case when due.gone is null then 'sending' when n.sent_at is null then 'suppressed' else 'sent' end,
    reason = case when n.sent_at is null then due.gone end,
    attempts = n.attempts + case when due.gone is null then 1 else 0 end,
    in_doubt = n.in_doubt or n.state = 'sending',
    give_up_at = coalesce(n.give_up_at, now() + interval '72 hours'),
    due_at = now() + $3 * interval '1 second'
  from due where n.id = due.id
  returning n.id, n.tenant_id, n.user_id, n.kind, due.gone as reason, n.event_id, n.context, n.attempts,
            coalesce(n.dated_at, n.decided_at) as dated_at, n.give_up_at <= now() as is_last,
            due.tenant, due.settings, due.locale, due.timezone,
            due.given_name, due.family_name, due.display_name, due.user_name, due.email";

/// Mail that is suppressed does not count against the rate limit.
pub(super) const GIVE_BACK: &str = "update mail_rates set next_at = now() where tenant_id = any($1)";

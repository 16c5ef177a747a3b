-- Everything is lost, but for the role rollcall_reporting: it belongs to the server, and another database may use it.
drop schema reporting cascade;
drop schema reporting_source cascade;
drop table pull_missing, pull_seen, pull_runs, pull_requests, pulls, parked_events, received_events, unsubscribed, mail_rates,
    notifications, assignments, workers, outbox, quarantine, receipts, recent_resources, commands, group_members, groups,
    users, schemas, key_uses, api_keys, tenants;

//! End-to-end tests of Rollcall.
//!
//! Tests that inject no faults share one stack, each with its own tenant. Tests that break services have their own
//! stack; tests that break servers have their own servers.

#![expect(clippy::unwrap_used, reason = "tests panic on errors")]

// API conversations.
mod activity;
mod asynchronous;
mod audit;
mod bulk;
mod client_forms;
mod complaints;
mod conversations;
mod discovery;
mod entra_patches;
mod erasure;
mod etags;
mod external_ids;
mod filters_in_sql;
mod group_displays;
mod groups;
mod key_lifetimes;
mod keys;
mod later_versions;
mod leavers;
mod lists;
mod odd_but_allowed;
mod okta_conversation;
mod page_bytes;
mod pull;
mod pull_reconciliation;
mod pull_safety;
mod reports;
mod reports_by_sql;
mod retention;
mod roles_and_links;
mod schemas_in_force;
mod schemas_registered;
mod search;
mod tenants;

// Invalid input.
mod any_body;
mod bad_messages;
mod bad_queries;
mod bad_requests;
mod odd_targets;

// Mail.
mod fair_mail;
mod fair_queues;
mod mail_by_smtp;
mod mail_in_a_browser;
mod mail_once;
mod mail_settings;
mod mail_signed;
mod mail_templates;
mod silence_and_mail;
mod unsubscribe;

// Load, misuse and restart.
mod early_answers;
mod events;
mod handbook;
mod headers;
mod hung_up;
mod keys_under_attack;
mod log_volume;
mod measured;
mod misbehaving_clients;
mod request_limits;
mod rolling_restart;
mod shares_of_reads;
mod strangers;
mod wrong_keys;

// Faults.
mod broker_away;
mod chaos;
mod clocks_apart;
mod concurrency;
mod database_faults;
mod ingest_killed;
mod late_answers;
mod parts_by_tenant;
mod poison;
mod postgres_away;
mod queues_deleted;
mod repeated_requests;
mod servers_crash;
mod worker_killed;

// Conventions and operation.
mod architecture;
mod migrations;
mod operations;
mod plaintext;
mod service_roles;
mod terminals;

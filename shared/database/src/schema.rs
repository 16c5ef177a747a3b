//! The tables as diesel sees them. `migrations/` defines and documents them.

#![allow(
    missing_docs,
    clippy::allow_attributes,
    reason = "the tables and columns are documented in the database"
)]

diesel::table! {
    tenants (id) {
        id -> Uuid,
        name -> Text,
        settings -> Jsonb,
        created_at -> Timestamptz,
        removed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Uuid,
        tenant_id -> Uuid,
        prefix -> Text,
        sha256 -> Text,
        scopes -> Array<Text>,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        networks -> Array<Text>,
    }
}

diesel::table! {
    key_mails (key_id, days) {
        key_id -> Uuid,
        days -> SmallInt,
        state -> Text,
        attempts -> Integer,
        due_at -> Timestamptz,
        dated_at -> Timestamptz,
        give_up_at -> Timestamptz,
        sent_at -> Nullable<Timestamptz>,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    key_warnings (key_id, days) {
        key_id -> Uuid,
        days -> SmallInt,
        expires_at -> Timestamptz,
        warned_at -> Timestamptz,
    }
}

diesel::table! {
    key_uses (key_id) {
        key_id -> Uuid,
        last_used_at -> Timestamptz,
    }
}

diesel::table! {
    users (id) {
        id -> Uuid,
        tenant_id -> Uuid,
        user_name -> Text,
        user_name_key -> Text,
        external_id -> Nullable<Text>,
        display_name -> Nullable<Text>,
        email -> Text,
        locale -> Nullable<Text>,
        timezone -> Nullable<Text>,
        role -> Text,
        origin -> Text,
        archived_at -> Nullable<Timestamptz>,
        resource -> Jsonb,
        version -> BigInt,
        ticket -> Uuid,
        created_at -> Timestamptz,
        modified_at -> Timestamptz,
        search -> Jsonb,
        search_version -> BigInt,
        hire_date -> Nullable<Date>,
        region -> Nullable<Text>,
        custom_fields -> Nullable<Jsonb>,
        pull_ticket -> Nullable<Uuid>,
        linked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    groups (id) {
        id -> Uuid,
        tenant_id -> Uuid,
        display_name -> Text,
        external_id -> Nullable<Text>,
        resource -> Jsonb,
        search -> Jsonb,
        search_version -> BigInt,
        member_count -> BigInt,
        version -> BigInt,
        ticket -> Uuid,
        created_at -> Timestamptz,
        modified_at -> Timestamptz,
    }
}

diesel::table! {
    group_members (group_id, user_id) {
        group_id -> Uuid,
        user_id -> Uuid,
        display -> Nullable<Text>,
        display_search -> Nullable<Text>,
    }
}

diesel::table! {
    schemas (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Text,
        resource_type -> Text,
        definition -> Jsonb,
        created_at -> Timestamptz,
        removed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    commands (id) {
        id -> Uuid,
        tenant_id -> Uuid,
        change -> Text,
        resource_id -> Nullable<Uuid>,
        actor -> Text,
        request_id -> Uuid,
        fingerprint -> Text,
        delivery -> Text,
        status -> Nullable<SmallInt>,
        outcome -> Nullable<Jsonb>,
        issued_at -> Timestamptz,
        decided_at -> Nullable<Timestamptz>,
        attributes -> Nullable<Array<Text>>,
        name_digest -> Nullable<Text>,
        ignored -> Nullable<Array<Text>>,
    }
}

diesel::table! {
    receipts (command) {
        command -> Uuid,
    }
}

diesel::table! {
    recent_resources (command) {
        command -> Uuid,
        resource -> Jsonb,
    }
}

diesel::table! {
    outbox (position) {
        position -> BigInt,
        kind -> Text,
        event -> Jsonb,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    quarantine (ticket) {
        ticket -> Uuid,
        attempts -> Jsonb,
    }
}

diesel::table! {
    workers (id) {
        id -> Uuid,
        host -> Text,
        pid -> BigInt,
        version -> Text,
        started_at -> Timestamptz,
        seen_at -> Timestamptz,
        queues -> Jsonb,
    }
}

diesel::table! {
    assignments (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Text,
        user_id -> Uuid,
        content_id -> Nullable<Text>,
        content_kind -> Nullable<Text>,
        content_title -> Nullable<Text>,
        content_url -> Nullable<Text>,
        assigned_at -> Nullable<Timestamptz>,
        due_by -> Nullable<Timestamptz>,
        completed_at -> Nullable<Timestamptz>,
        score -> Nullable<Double>,
        grade_pending -> Bool,
    }
}

diesel::table! {
    unsubscribed (tenant_id, user_id) {
        tenant_id -> Uuid,
        user_id -> Uuid,
        since -> Timestamptz,
    }
}

diesel::table! {
    notifications (id) {
        id -> Uuid,
        tenant_id -> Uuid,
        user_id -> Uuid,
        kind -> Text,
        state -> Text,
        reason -> Nullable<Text>,
        event_source -> Text,
        event_id -> Text,
        context -> Jsonb,
        attempts -> Integer,
        decided_at -> Timestamptz,
        due_at -> Timestamptz,
        sent_at -> Nullable<Timestamptz>,
        give_up_at -> Nullable<Timestamptz>,
        dated_at -> Nullable<Timestamptz>,
        in_doubt -> Bool,
        last_attempt -> Nullable<Jsonb>,
    }
}

diesel::table! {
    received_events (tenant_id, source, id) {
        tenant_id -> Uuid,
        source -> Text,
        id -> Text,
        received_at -> Timestamptz,
    }
}

diesel::table! {
    erasures (tenant_id, user_id) {
        tenant_id -> Uuid,
        user_id -> Uuid,
        erased_at -> Timestamptz,
        assignments -> Int8,
        mails -> Int8,
        events -> Int8,
    }
}

diesel::table! {
    parked_events (tenant_id, source, id) {
        tenant_id -> Uuid,
        source -> Text,
        id -> Text,
        user_id -> Uuid,
        event -> Jsonb,
        attempts -> Integer,
        parked_at -> Timestamptz,
        due_at -> Timestamptz,
    }
}

diesel::table! {
    pulls (tenant_id) {
        tenant_id -> Uuid,
        okta_url -> Text,
        group_id -> Text,
        token -> Bytea,
        map -> Jsonb,
        archive_missing -> Bool,
        limit_percent -> SmallInt,
        set_at -> Timestamptz,
    }
}

diesel::table! {
    pull_requests (id) {
        id -> Uuid,
        tenant_id -> Uuid,
        confirms -> Nullable<Uuid>,
        requested_at -> Timestamptz,
    }
}

diesel::table! {
    pull_runs (id) {
        id -> Uuid,
        tenant_id -> Uuid,
        slot -> Text,
        state -> Text,
        phase -> Text,
        holder -> Nullable<Uuid>,
        lease_until -> Nullable<Timestamptz>,
        next_link -> Nullable<Text>,
        pages -> Integer,
        people -> BigInt,
        strangers -> BigInt,
        changes -> BigInt,
        unreadable -> BigInt,
        ambiguous -> BigInt,
        roster -> Nullable<BigInt>,
        linked -> Nullable<BigInt>,
        gone -> Nullable<BigInt>,
        archiving -> BigInt,
        confirmed -> Bool,
        reason -> Nullable<Text>,
        set_at -> Nullable<Timestamptz>,
        rests_until -> Nullable<Timestamptz>,
        due_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    pull_seen (run_id, okta_id) {
        run_id -> Uuid,
        okta_id -> Text,
        external_id -> Text,
        user_name_key -> Text,
        is_known -> Bool,
    }
}

diesel::table! {
    pull_missing (run_id, user_id) {
        run_id -> Uuid,
        user_id -> Uuid,
        version -> BigInt,
        queued -> Bool,
    }
}

diesel::table! {
    operator_actions (id) {
        id -> Uuid,
        run -> Uuid,
        at -> Timestamptz,
        action -> Text,
        tenant -> Nullable<Text>,
        target -> Text,
        os_user -> Text,
        host -> Text,
        state -> Text,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    refusals (id) {
        id -> Uuid,
        minute -> Timestamptz,
        tenant_id -> Uuid,
        key -> Text,
        address -> Text,
        method -> Text,
        route -> Text,
        status -> SmallInt,
        scim_type -> Nullable<Text>,
        detail -> Text,
        count -> BigInt,
    }
}

diesel::joinable!(recent_resources -> commands (command));

diesel::allow_tables_to_appear_in_same_query!(
    tenants,
    api_keys,
    key_uses,
    key_mails,
    key_warnings,
    users,
    groups,
    group_members,
    schemas,
    commands,
    outbox,
    quarantine,
    receipts,
    recent_resources,
    workers,
    assignments,
    notifications,
    received_events,
    parked_events,
    unsubscribed,
    pulls,
    pull_requests,
    pull_runs,
    pull_seen,
    pull_missing,
);

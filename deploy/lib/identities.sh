#!/usr/bin/env bash
# The users of the private servers: one for each program and server, and one for a content service that publishes over
# AMQP. Their passwords are in passwords.env, their connection strings in servers.env.
# shellcheck disable=SC2034 # used by other scripts

# The programs, by the names of their roles.
IDENTITIES=(ingest worker notifier operator)

# What each user of the broker may configure, write and read, and the events that it may publish. Only workers and the
# operator declare queues and exchanges, and read what they bind. Nobody but ingest, workers and the operator publishes
# to queues directly, over the default exchange.
broker_rights() {
  local own='rollcall\\.' replies='amq\\.rabbitmq\\.reply-to.*'
  case $1 in
    ingest)
      RIGHTS=('^$' "^(amq\\\\.default|${own}events|${own}dead-letters)\$" "^(${own}roles|$replies)\$" '^(content|role|key)\\.' '^$')
      ;;
    worker) RIGHTS=("^$own" "^($own.*|amq\\\\.default)\$" "^$own(commands|events|roles|dead-letters)(\\\\..*)?\$" '.*' '.*') ;;
    notifier) RIGHTS=('^$' "^${own}dead-letters\$" "^${own}events(\\\\..*)?\$" '^$' '^$') ;;
    operator) RIGHTS=("^$own" "^($own.*|amq\\\\.default)\$" "^($own.*|$replies)\$" '.*' '.*') ;;
    content) RIGHTS=('^$' "^${own}events\$" '^$' '^content\\.' '^$') ;;
  esac
}

# Creates missing passwords.
make_passwords() {
  local name missing=
  for name in "${IDENTITIES[@]^^}"; do
    name=${name}_DATABASE_PASSWORD
    [[ -n ${!name-} ]] || { printf -v "$name" '%s' "$(secret)" && missing=1; }
  done
  for name in "${IDENTITIES[@]^^}" CONTENT; do
    name=${name}_AMQP_PASSWORD
    [[ -n ${!name-} ]] || { printf -v "$name" '%s' "$(secret)" && missing=1; }
  done
  [[ -z $missing ]] || remember_passwords
}

# Creates the roles of the services and a user in each, or sets the user's password. The owner becomes a member of the
# users, so that it sees their sessions. (`rollcall migrate` grants the roles their privileges, database by database.)
make_database_users() {
  local role name password
  make_passwords
  {
    for role in "${IDENTITIES[@]}"; do
      name=${role^^}_DATABASE_PASSWORD password=${!name}
      cat <<SQL
do \$\$ begin
  if not exists (select from pg_roles where rolname = 'rollcall_$role') then create role rollcall_$role nologin; end if;
  if not exists (select from pg_roles where rolname = 'rollcall_${role}_login') then
    create role rollcall_${role}_login login in role rollcall_$role;
  end if;
  if not pg_has_role('rollcall_${role}_login', 'usage') then grant rollcall_${role}_login to current_user; end if;
end \$\$;
alter role rollcall_${role}_login password '$password';
SQL
    done
  } | owner_psql -X -q -v ON_ERROR_STOP=1 >>"$RUN/log/postgres.log" 2>&1 ||
    die_with "$RUN/log/postgres.log" "Failed to create the database users of the services; see $RUN/log/postgres.log."
}

# psql as the owner of the private database.
owner_psql() {
  (cd / && PGPASSWORD=$POSTGRES_PASSWORD exec "$PG_BIN/psql" -h 127.0.0.1 -p "$POSTGRES_PORT" -U rollcall -d rollcall "$@")
}

# Creates the users of the broker, unless this was done with the same passwords and rights. The passwords are in a file,
# since all users of the machine can see arguments.
make_broker_users() {
  local user name file=$RUN/rabbitmq/users.erl made=$RUN/rabbitmq/data/users
  make_passwords
  (
    umask 077
    for user in "${IDENTITIES[@]}" content; do
      name=${user^^}_AMQP_PASSWORD
      broker_rights "$user"
      printf 'Make_%s = fun() ->\n  U = <<"rollcall-%s">>, A = <<"rollcall">>, V = <<"/">>,\n' "$user" "$user"
      printf '  catch rabbit_auth_backend_internal:add_user(U, <<"%s">>, A),\n' "${!name}"
      printf '  ok = rabbit_auth_backend_internal:change_password(U, <<"%s">>, A),\n' "${!name}"
      printf '  ok = rabbit_auth_backend_internal:set_permissions(U, V, <<"%s">>, <<"%s">>, <<"%s">>, A),\n' "${RIGHTS[@]:0:3}"
      printf '  ok = rabbit_auth_backend_internal:set_topic_permissions(U, V, <<"rollcall.events">>, <<"%s">>, <<"%s">>, A)\nend,\nMake_%s(),\n' \
        "${RIGHTS[@]:3:2}" "$user"
    done >"$file"
    printf 'made.\n' >>"$file"
  )
  if [[ $(cat "$made" 2>/dev/null) != "$(sha256sum <"$file")" ]]; then
    run_rabbitmqctl eval_file "$file" >>"$RUN/log/rabbitmq.log" 2>&1 ||
      die_with "$RUN/log/rabbitmq.log" "Failed to create the broker's users; see $RUN/log/rabbitmq.log."
    sha256sum <"$file" >"$made"
  fi
  rm -f "$file"
}

run_rabbitmqctl() {
  (rabbitmq_environment && cd / && exec "${RABBIT_ENV[@]}" "$RABBIT_BIN/rabbitmqctl" "$@")
}

# Sets NAME_DATABASE_URL and NAME_AMQP_URL of each program for the private servers. For an external server they stay as
# the user has set them.
set_service_urls() {
  local user name
  for user in "${IDENTITIES[@]}" content; do
    name=${user^^}_DATABASE_URL
    if [[ $user != content && -n ${POSTGRES_PORT-} && ${DATABASE_URL-} == "$(private_database_url)" ]]; then
      printf -v "$name" '%s' "$(private_database_url "$user")"
    fi
    name=${user^^}_AMQP_URL
    if [[ -n ${AMQP_PORT-} && ${AMQP_URL-} == "$(private_amqp_url)" ]]; then
      printf -v "$name" '%s' "$(private_amqp_url "$user")"
    fi
  done
}

# Forgets connection strings of users of the private servers, for instance from an earlier run's servers.env.
forget_private_urls() {
  local user name
  for user in "${IDENTITIES[@]}" content; do
    name=${user^^}_DATABASE_URL
    if [[ -n ${POSTGRES_PORT-} && ${!name-} == "$(private_database_url "$user")" ]]; then unset "$name"; fi
    name=${user^^}_AMQP_URL
    if [[ -n ${AMQP_PORT-} && ${!name-} == "$(private_amqp_url "$user")" ]]; then unset "$name"; fi
  done
}

# Runs a command with the connection strings of one program, and without those of the others.
# usage: as_identity NAME COMMAND…
as_identity() {
  local database=${1^^}_DATABASE_URL amqp=${1^^}_AMQP_URL
  shift
  DATABASE_URL=${!database:-$DATABASE_URL} AMQP_URL=${!amqp:-${AMQP_URL-}} "$@"
}

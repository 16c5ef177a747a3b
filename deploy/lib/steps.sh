#!/usr/bin/env bash
# The steps of deploy/run, from the prerequisites to the final instructions.
# shellcheck disable=SC2034 # used by other scripts

# Sets OWN_DATABASE and OWN_BROKER if the user has set the URL of an external server. The URL of the private server, for
# instance from an earlier run's servers.env, does not count.
tell_own_servers() {
  OWN_DATABASE='' OWN_BROKER=''
  forget_private_urls
  if [[ -n ${POSTGRES_PORT-} && ${DATABASE_URL-} == "$(private_database_url)" ]]; then DATABASE_URL=''; fi
  if [[ -n ${AMQP_PORT-} && ${AMQP_URL-} == "$(private_amqp_url)" ]]; then AMQP_URL=''; fi
  [[ -z ${DATABASE_URL-} ]] || OWN_DATABASE="of DATABASE_URL"
  [[ -z ${AMQP_URL-} ]] || OWN_BROKER="of AMQP_URL"
}

check_port() {
  local port=${ROLLCALL_PORT:-8080} holder
  if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
    die "ROLLCALL_PORT is \"$port\"; it must be a number between 1 and 65535."
  fi
  port_taken "$port" || return 0
  holder=$(port_holder "$port")
  die "Port $port is in use${holder:+ by $holder}. Stop that program, or choose another port, for example ROLLCALL_PORT=$((port < 65535 ? port + 1 : 8081)) deploy/run."
}

# Whoever can reach the server must not choose the URLs in its answers.
check_public_url() {
  case ${ROLLCALL_LISTEN:-127.0.0.1} in
    127.* | ::1 | ::ffff:127.*) return 0 ;;
  esac
  [[ -n ${ROLLCALL_PUBLIC_URL-} ]] || die "ROLLCALL_LISTEN=$ROLLCALL_LISTEN is not a loopback address, so ROLLCALL_PUBLIC_URL must be set: the URL before /scim/v2 as clients see it, for example https://scim.example.com."
}

install_what_is_missing() {
  local packages=(curl ca-certificates gcc libc6-dev)
  [[ -n $OWN_DATABASE ]] || packages+=(postgresql)
  [[ -n $OWN_BROKER ]] || packages+=(rabbitmq-server)
  install_packages "${packages[@]}"
}

# Starts the private servers, which boot while cargo builds. Stops those that the user has replaced by external ones.
start_servers() {
  if [[ -n $OWN_BROKER ]]; then stop_rabbitmq; else begin_rabbitmq; fi
  if [[ -n $OWN_DATABASE ]]; then stop_postgres; else begin_postgres; fi
  say "Servers: PostgreSQL ${OWN_DATABASE:-on port ${POSTGRES_PORT-}}, RabbitMQ ${OWN_BROKER:-on port ${AMQP_PORT-}}."
}

# Creates the schema and the tenant acme. Does not need the broker, which may still be booting.
prepare_database() {
  if [[ -z $OWN_DATABASE ]]; then
    begin_postgres
    await_postgres
    want postgres
    DATABASE_URL=$(private_database_url)
    make_database_users
    set_service_urls
  fi
  say "Migrating the database."
  DATABASE_URL=$DATABASE_URL "$PROGRAMS/rollcall" migrate 9>&- || die "Failed to migrate the database; see the output above."
  make_tenant
}

prepare_broker() {
  if [[ -z $OWN_BROKER ]]; then
    begin_rabbitmq
    await_rabbitmq
    want rabbitmq
    AMQP_URL=$(private_amqp_url)
    make_broker_users
    set_service_urls
  fi
  write_servers_env
  export_settings
}

build() {
  if [[ -x $PROGRAMS/ingest ]]; then say "Building the changes."; else say "Building everything; this takes some minutes."; fi
  build_services
}

start_services() {
  local name pending=(ingest worker-1 notifier) waiting end=$((SECONDS + 60))
  say "Starting services: ${pending[*]}."
  for name in "${pending[@]}"; do want "$name"; done
  while ((${#pending[@]})); do
    round
    waiting=()
    for name in "${pending[@]}"; do
      service_ready "$name" || waiting+=("$name")
      ((${FAILURES[$name]:-0} < 3)) || gave_up "$name"
    done
    ((${#waiting[@]} == 0 || SECONDS < end)) || gave_up "${waiting[0]}"
    pending=("${waiting[@]}")
    [[ -z ${STOP-} ]] || exit 0
  done
}

gave_up() {
  die_with "$RUN/log/$1.log" "$1 did not become ready; see $RUN/log/$1.log."
}

# Shows the key on a terminal only: others may read output that goes to a file.
explain() {
  local key base dir=$RUN
  key=$(sed -n 's/^API_KEY=//p' "$RUN/okta.env")
  base=${ROLLCALL_PUBLIC_URL:+${ROLLCALL_PUBLIC_URL%/}/scim/v2}
  [[ $RUN != "$CHECKOUT/.run" ]] || dir=.run
  [[ -t 1 ]] || key="the value of API_KEY in $dir/okta.env"
  say "
Rollcall is ready. Enter these values in Okta (SCIM 2.0, basic authentication):

    Base URL    ${base:-$(sed -n 's/^BASE_URL=//p' "$RUN/okta.env")}
    User name   $(sed -n 's/^USERNAME=//p' "$RUN/okta.env")
    Password    $key

All three are in $dir/okta.env. To try it, in another terminal, from $CHECKOUT:

    bash -c '. \"$dir/okta.env\"; curl -s -u \"\$USERNAME:\$API_KEY\" \"\$BASE_URL/Users?startIndex=1&count=2\"'

Mail is written to $dir/mail, logs to $dir/log. Ctrl-C stops everything; the data is kept.
"
}

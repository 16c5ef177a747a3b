#!/usr/bin/env bash
# The steps of deploy/run, from what must be there to the words for the person at the terminal.
# shellcheck disable=SC2034 # others read what is set here

# OWN_DATABASE and OWN_BROKER are set where the user has put a URL of his own in the place of a private server. The
# private one's URL, taken from an earlier run's servers.env, is not meant so.
tell_own_servers() {
  OWN_DATABASE='' OWN_BROKER=''
  if [[ -n ${POSTGRES_PORT-} && ${DATABASE_URL-} == "$(private_database_url)" ]]; then DATABASE_URL=''; fi
  if [[ -n ${AMQP_PORT-} && ${AMQP_URL-} == "$(private_amqp_url)" ]]; then AMQP_URL=''; fi
  [[ -z ${DATABASE_URL-} ]] || OWN_DATABASE="of DATABASE_URL"
  [[ -z ${AMQP_URL-} ]] || OWN_BROKER="of AMQP_URL"
}

check_port() {
  local port=${ROLLCALL_PORT:-8080} holder
  if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
    die "ROLLCALL_PORT is \"$port\", which is no port: give a number between 1 and 65535."
  fi
  port_taken "$port" || return 0
  holder=$(port_holder "$port")
  die "Port $port is taken${holder:+ by $holder}: stop that, or choose another one, as in ROLLCALL_PORT=$((port < 65535 ? port + 1 : 8081)) deploy/run."
}

install_what_is_missing() {
  local packages=(curl ca-certificates gcc libc6-dev)
  [[ -n $OWN_DATABASE ]] || packages+=(postgresql)
  [[ -n $OWN_BROKER ]] || packages+=(rabbitmq-server)
  install_packages "${packages[@]}"
}

# They start while cargo builds. A server that the user has put a URL of his own in the place of does not run.
start_servers() {
  if [[ -n $OWN_BROKER ]]; then stop_rabbitmq; else begin_rabbitmq; fi
  if [[ -n $OWN_DATABASE ]]; then stop_postgres; else begin_postgres; fi
  say "Servers: PostgreSQL ${OWN_DATABASE:-on port ${POSTGRES_PORT-}}, RabbitMQ ${OWN_BROKER:-on port ${AMQP_PORT-}}."
}

# The schema and the tenant acme. The broker may still be booting: this does not need it.
prepare_database() {
  if [[ -z $OWN_DATABASE ]]; then
    begin_postgres
    await_postgres
    want postgres
    DATABASE_URL=$(private_database_url)
  fi
  export DATABASE_URL
  say "Database: migrating."
  rollcall migrate || die "The database could not be migrated: see the words above."
  make_tenant
}

prepare_broker() {
  if [[ -z $OWN_BROKER ]]; then
    begin_rabbitmq
    await_rabbitmq
    want rabbitmq
    AMQP_URL=$(private_amqp_url)
  fi
  write_servers_env
  export_settings
}

build() {
  if [[ -x $PROGRAMS/ingest ]]; then say "Build: what has changed."; else say "Build: everything; this takes some minutes."; fi
  build_services
}

start_services() {
  local name pending=(ingest worker-1 notifier) waiting end=$((SECONDS + 60))
  say "Services: ${pending[*]}."
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
  die_with "$RUN/log/$1.log" "$1 does not get ready: see $RUN/log/$1.log."
}

# The key is shown on a terminal only: output that goes to a file may be kept, and read by others.
explain() {
  local key base dir=$RUN
  key=$(sed -n 's/^API_KEY=//p' "$RUN/okta.env")
  base=${ROLLCALL_PUBLIC_URL:+${ROLLCALL_PUBLIC_URL%/}/scim/v2}
  [[ $RUN != "$CHECKOUT/.run" ]] || dir=.run
  [[ -t 1 ]] || key="the value of API_KEY in $dir/okta.env"
  say "
Rollcall is ready. What to type into Okta (SCIM 2.0, basic authentication):

    Base URL    ${base:-$(sed -n 's/^BASE_URL=//p' "$RUN/okta.env")}
    User name   $(sed -n 's/^USERNAME=//p' "$RUN/okta.env")
    Password    $key

All three are in $dir/okta.env. To try it, in another terminal, from $CHECKOUT:

    bash -c '. \"$dir/okta.env\"; curl -s -u \"\$USERNAME:\$API_KEY\" \"\$BASE_URL/Users?startIndex=1&count=2\"'

Mail is put into $dir/mail, logs into $dir/log. Ctrl-C stops everything; the data stays.
"
}

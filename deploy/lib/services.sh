#!/usr/bin/env bash
# Rollcall's own processes: which program each name is, what it is told by its environment, when it is ready.

# What the services read from the environment; what the user has set stands.
export_settings() {
  : "${ROLLCALL_PORT:=8080}" "${ROLLCALL_MAIL_URL:=file://${RUN// /%20}/mail}"
  : "${ROLLCALL_SECRET_KEY:=$SECRET_KEY}" "${ROLLCALL_UNSUBSCRIBE_KEY:=$UNSUBSCRIBE_KEY}"
  export DATABASE_URL AMQP_URL ROLLCALL_PORT ROLLCALL_MAIL_URL ROLLCALL_SECRET_KEY ROLLCALL_UNSUBSCRIBE_KEY
  # Mail is for its readers only.
  mkdir -p "$RUN/mail"
  chmod 700 "$RUN/mail"
}

# Where a service that listens on this port answers on this machine.
local_url() {
  local host=${ROLLCALL_LISTEN:-127.0.0.1}
  [[ $host != 0.0.0.0 && $host != :: ]] || host=127.0.0.1
  [[ $host != *:* ]] || host="[$host]"
  printf 'http://%s:%s\n' "$host" "$1"
}

# Starts any process of the stack by its name.
start_named() {
  case $1 in
    postgres) spawn_postgres ;;
    rabbitmq) spawn_rabbitmq ;;
    ingest)
      local_url "$ROLLCALL_PORT" >"$RUN/health/ingest"
      spawn ingest "$PROGRAMS/ingest"
      ;;
    notifier)
      # Links in mail lead to where ingest answers on this machine, unless it has a name of its own.
      ROLLCALL_PUBLIC_URL=${ROLLCALL_PUBLIC_URL:-$(local_url "$ROLLCALL_PORT")} \
        spawn_with_health notifier "$PROGRAMS/notifier"
      ;;
    worker-*) spawn_with_health "$1" "$PROGRAMS/worker" ;;
  esac
}

stop_named() {
  case $1 in
    postgres) stop_postgres ;;
    rabbitmq) stop_rabbitmq ;;
    # What a service takes at the most: its drain, its grace, and some.
    ingest) stop_process ingest TERM $((${ROLLCALL_DRAIN:-2} + 35)) && rm -f "$RUN/health/ingest" ;;
    *) stop_process "$1" TERM 30 && rm -f "$RUN/health/$1" ;;
  esac
}

# The URL under which a service answers for its health, as it was noted at its start, or nothing.
health_url() { { cat "$RUN/health/$1"; } 2>/dev/null || true; }

# Those that serve nothing but their health get a free port for it, and keep it while it is free.
spawn_with_health() {
  local name=$1 url port
  shift
  url=$(health_url "$name")
  port=${url##*:}
  if [[ -z $port ]] || port_taken "$port"; then
    rm -f "$RUN/health/$name"
    port=$(pick_port 22000 scatter) || return
    while grep -qs ":$port\$" "$RUN"/health/*; do port=$(pick_port 22000 scatter) || return; done
    local_url "$port" >"$RUN/health/$name"
  fi
  spawn "$name" env ROLLCALL_HEALTH_PORT="$port" "$@"
}

# Does this service say of itself that it can do its work? (Another program on its port may say so too.)
service_ready() {
  local url pid
  url=$(health_url "$1")
  pid=$(pid_of "$1") || return 1
  [[ -n $url ]] && port_held_by "${url##*:}" "$pid" && curl -fs -m 2 -o /dev/null "$url/readyz"
}

# What a service that is ready misses now, as it says itself: "postgres (away)"; nothing if it misses nothing.
service_misses() {
  curl -s -m 2 "$(health_url "$1")/readyz" 2>/dev/null | sed -n 's/.*"dependencies":{\([^}]*\)}.*/\1/p' | tr ',' '\n' |
    sed -n '/:"ok"$/d; s/^"\([^"]*\)":"\([^"]*\)"$/\1 (\2)/p' | paste -sd ',' -
}

# The field of a one-object JSON text that the operator's CLI prints.
json_field() { sed -nE "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"([^\"]*)\".*/\1/p"; }

rollcall() { "$PROGRAMS/rollcall" "$@" 9>&-; }

# The tenant acme; it may be there from before.
make_tenant() {
  local said
  said=$(rollcall tenant add acme --json 2>&1) && return
  [[ $(rollcall tenant list --json) == *'"acme"'* ]] || die "The tenant acme could not be made: $said"
}

# .run/okta.env holds what an admin types into Okta. A key that works is kept; the port may have changed.
make_key() {
  local USERNAME='' API_KEY='' BASE_URL said name value
  if [[ -r $RUN/okta.env ]]; then
    while IFS='=' read -r name value; do
      case $name in USERNAME) USERNAME=$value ;; API_KEY) API_KEY=$value ;; esac
    done <"$RUN/okta.env"
  fi
  if [[ -z $API_KEY ]] || key_refused "$USERNAME" "$API_KEY"; then
    said=$(rollcall key add acme --scope scim,events,reports,activity --json) || die "No API key could be made for acme."
    USERNAME=$(json_field username <<<"$said")
    API_KEY=$(json_field api_key <<<"$said")
    [[ -n $USERNAME && -n $API_KEY ]] || die "rollcall key add did not print a user name and a key."
  fi
  # shellcheck disable=SC2034 # write_settings takes it by its name
  BASE_URL=$(local_url "$ROLLCALL_PORT")/scim/v2
  write_settings "$RUN/okta.env" BASE_URL USERNAME API_KEY
}

# The key goes to curl through a pipe: arguments can be seen by everybody on the machine.
key_refused() {
  local status
  status=$(curl -s -m 10 -o /dev/null -w '%{http_code}' -K <(printf 'user = "%s:%s"\n' "$1" "$2") \
    "$(local_url "$ROLLCALL_PORT")/scim/v2/Users?startIndex=1&count=1") || true
  [[ $status == 401 || $status == 403 ]]
}

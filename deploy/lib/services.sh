#!/usr/bin/env bash
# Rollcall's services: their programs, environments and readiness.

# Exports the services' settings. Values that the user has set take precedence. Each program gets its own connection
# strings and secrets only (as_identity).
export_settings() {
  local names=("${IDENTITIES[@]^^}")
  : "${ROLLCALL_PORT:=8080}" "${ROLLCALL_MAIL_URL:=file://${RUN// /%20}/mail}"
  : "${ROLLCALL_SECRET_KEY:=$SECRET_KEY}" "${ROLLCALL_UNSUBSCRIBE_KEY:=$UNSUBSCRIBE_KEY}"
  export ROLLCALL_PORT ROLLCALL_MAIL_URL ROLLCALL_SECRET_KEY ROLLCALL_UNSUBSCRIBE_KEY
  export -n "${names[@]/%/_DATABASE_URL}" "${names[@]/%/_AMQP_URL}" CONTENT_AMQP_URL
  # Mail is readable by the owner only.
  mkdir -p "$RUN/mail"
  chmod 700 "$RUN/mail"
}

# The URL of a service on this port, from this machine.
local_url() {
  local host=${ROLLCALL_LISTEN:-127.0.0.1}
  [[ $host != 0.0.0.0 && $host != :: ]] || host=127.0.0.1
  [[ $host != *:* ]] || host="[$host]"
  printf 'http://%s:%s\n' "$host" "$1"
}

# Starts a process of the stack by name.
start_named() {
  case $1 in
    postgres) spawn_postgres ;;
    rabbitmq) spawn_rabbitmq ;;
    ingest)
      local_url "$ROLLCALL_PORT" >"$RUN/health/ingest"
      ROLLCALL_MAIL_URL='' as_identity ingest spawn ingest "$PROGRAMS/ingest"
      ;;
    notifier)
      # Links in mail use ingest's local URL unless a public one is set.
      ROLLCALL_PUBLIC_URL=${ROLLCALL_PUBLIC_URL:-$(local_url "$ROLLCALL_PORT")} \
        ROLLCALL_SECRET_KEY='' as_identity notifier spawn_with_health notifier "$PROGRAMS/notifier"
      ;;
    worker-*)
      ROLLCALL_SECRET_KEY='' ROLLCALL_UNSUBSCRIBE_KEY='' ROLLCALL_MAIL_URL='' \
        as_identity worker spawn_with_health "$1" "$PROGRAMS/worker"
      ;;
  esac
}

stop_named() {
  case $1 in
    postgres) stop_postgres ;;
    rabbitmq) stop_rabbitmq ;;
    # The longest time to stop: the drain, the grace period, and a margin.
    ingest) stop_process ingest TERM $((${ROLLCALL_DRAIN:-2} + 43)) && rm -f "$RUN/health/ingest" ;;
    *) stop_process "$1" TERM 30 && rm -f "$RUN/health/$1" ;;
  esac
}

# The health URL of a service, as stored at its start, or nothing.
health_url() { { cat "$RUN/health/$1"; } 2>/dev/null || true; }

# Starts a service with a free port for its health endpoint. A restart reuses the port if it is still free.
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

# Whether this service is ready. The port's owner is checked, since another program could answer on the port.
service_ready() {
  local url pid
  url=$(health_url "$1")
  pid=$(pid_of "$1") || return 1
  [[ -n $url ]] && port_held_by "${url##*:}" "$pid" && curl -fs -m 2 -o /dev/null "$url/readyz"
}

# The unavailable dependencies of a ready service, such as "postgres (away)", or nothing.
service_misses() {
  curl -s -m 2 "$(health_url "$1")/readyz" 2>/dev/null | sed -n 's/.*"dependencies":{\([^}]*\)}.*/\1/p' | tr ',' '\n' |
    sed -n '/:"ok"$/d; s/^"\([^"]*\)":"\([^"]*\)"$/\1 (\2)/p' | paste -sd ',' -
}

# A field of a JSON object that the CLI prints.
json_field() { sed -nE "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"([^\"]*)\".*/\1/p"; }

rollcall() { as_identity operator "$PROGRAMS/rollcall" "$@" 9>&-; }

# Creates the tenant acme unless it exists.
make_tenant() {
  local said
  said=$(rollcall tenant add acme --json 2>&1) && return
  [[ $(rollcall tenant list --json) == *'"acme"'* ]] || die "Failed to create the tenant acme: $said"
}

# Writes .run/okta.env with the values that an admin enters in Okta. Keeps a working key; the port may have changed.
make_key() {
  local USERNAME='' API_KEY='' BASE_URL said name value
  if [[ -r $RUN/okta.env ]]; then
    while IFS='=' read -r name value; do
      case $name in USERNAME) USERNAME=$value ;; API_KEY) API_KEY=$value ;; esac
    done <"$RUN/okta.env"
  fi
  if [[ -z $API_KEY ]] || key_refused "$USERNAME" "$API_KEY" || ! key_has_roles "$API_KEY"; then
    said=$(rollcall key add acme --scope scim,events,reports,activity,roles --json) || die "Failed to create an API key for acme."
    USERNAME=$(json_field username <<<"$said")
    API_KEY=$(json_field api_key <<<"$said")
    [[ -n $USERNAME && -n $API_KEY ]] || die "rollcall key add did not print a user name and a key."
  fi
  # shellcheck disable=SC2034 # write_settings reads it by name
  BASE_URL=$(local_url "$ROLLCALL_PORT")/scim/v2
  write_settings "$RUN/okta.env" BASE_URL USERNAME API_KEY
}

# Whether this key has the scope roles. Keys of earlier versions lack it.
key_has_roles() {
  # After "rck_" a key has 12 public characters.
  rollcall key list acme --json | tr -d '[:space:]' | tr '{' '\n' | grep -F "\"${1:4:12}\"" | grep -qF '"roles"'
}

# Passes the key to curl through a pipe: all users of the machine can see arguments.
key_refused() {
  local status
  status=$(curl -s -m 10 -o /dev/null -w '%{http_code}' -K <(printf 'user = "%s:%s"\n' "$1" "$2") \
    "$(local_url "$ROLLCALL_PORT")/scim/v2/Users?startIndex=1&count=1") || true
  [[ $status == 401 || $status == 403 ]]
}

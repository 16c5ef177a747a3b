#!/usr/bin/env bash
# The private PostgreSQL: finds, initializes, starts, probes and stops it. Its data is in .run/postgres. It listens on
# the loopback interface only, with generated passwords, and without a Unix socket, whose path could become too long.

# Sets PG_HOME, the data's location, and PG_BIN, the programs of the version that created the data, else of the newest
# one.
find_postgres() {
  local version=
  PG_BIN=
  # Resolve the link .run/postgres: the postgres user may have access only to its target.
  PG_HOME=$(realpath -m "$RUN/postgres")
  if [[ -d $PG_HOME/data ]]; then
    version=$(as_postgres_user cat "$PG_HOME/data/PG_VERSION" 2>/dev/null) || true
  fi
  PG_BIN=$(find /usr/lib/postgresql -path "*/${version:-*}/bin/postgres" 2>/dev/null | sort -V | tail -n 1)
  if [[ -n $PG_BIN ]]; then
    PG_BIN=$(dirname "$PG_BIN")
  elif [[ -z $version ]] && command -v postgres initdb pg_isready >/dev/null; then
    PG_BIN=$(dirname "$(command -v postgres)")
  elif [[ -n $version ]]; then
    die "The data in $RUN/postgres was created by PostgreSQL $version, which is not installed. Install postgresql-$version, or move $RUN/postgres away to start with an empty database."
  else
    return 1
  fi
}

# PostgreSQL refuses to run as root, so the user postgres runs it. setpriv, unlike su, replaces itself by the command.
as_postgres_user() {
  local become=()
  [[ $EUID -ne 0 ]] || become=(setpriv --reuid=postgres --regid=postgres --init-groups --)
  (cd / && env -i PATH="$PATH" LC_ALL=C.UTF-8 "${become[@]}" "$@")
}

# Creates .run/postgres. If the postgres user cannot access it, for instance in a private home directory, the data is
# stored below /var/lib and .run/postgres is a link to it.
make_postgres_home() {
  [[ ! -d $PG_HOME ]] || return 0
  if [[ $EUID -ne 0 ]]; then
    mkdir -m 700 "$PG_HOME"
    return
  fi
  getent passwd postgres >/dev/null || die "There is no user \"postgres\", and PostgreSQL does not run as root. Install the package postgresql, or run this as an ordinary user."
  rm -f "$RUN/postgres"
  if as_postgres_user test -x "$RUN"; then
    PG_HOME=$RUN/postgres
    mkdir -m 700 "$PG_HOME"
  else
    PG_HOME=$(mktemp -d /var/lib/rollcall-XXXXXXXX) || die "/var/lib is not writable, and the user postgres has no access to $RUN. Move the checkout outside of private directories."
    ln -s "$PG_HOME" "$RUN/postgres"
    say "PostgreSQL runs as the user postgres, who has no access to $RUN. Its data is in $PG_HOME."
  fi
  chown postgres: "$PG_HOME"
}

# Creates the data directory, the role and the database, unless they exist.
make_postgres_data() {
  local log=$RUN/log/postgres.log
  [[ ! -d $PG_HOME/data ]] || return 0
  [[ -n ${POSTGRES_PASSWORD-} ]] || POSTGRES_PASSWORD=$(secret)
  remember_passwords
  # Initialize under another name and rename at the end, so that an interrupted initialization is repeated.
  as_postgres_user rm -rf "$PG_HOME/unfinished"
  if ! as_postgres_user "$PG_BIN/initdb" -D "$PG_HOME/unfinished" -U postgres --auth-local=peer --auth-host=scram-sha-256 \
    --encoding=UTF8 --lc-collate=C --lc-ctype=C.UTF-8 --data-checksums --no-sync >>"$log" 2>&1; then
    die_with "$log" "PostgreSQL failed to create its data directory; see $log."
  fi
  as_postgres_user "$PG_BIN/postgres" --single -D "$PG_HOME/unfinished" postgres >>"$log" 2>&1 <<SQL
CREATE ROLE rollcall LOGIN CREATEDB CREATEROLE PASSWORD '$POSTGRES_PASSWORD'
CREATE DATABASE rollcall OWNER rollcall
SQL
  printf "include 'rollcall.conf'\n" | as_postgres_user tee -a "$PG_HOME/unfinished/postgresql.conf" >/dev/null
  as_postgres_user sync -f "$PG_HOME/unfinished"
  as_postgres_user mv "$PG_HOME/unfinished" "$PG_HOME/data"
}

# Sized for two cores, with full durability. Statements and details are not logged, since they contain personal data.
write_postgres_settings() {
  as_postgres_user tee "$PG_HOME/data/rollcall.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
port = $POSTGRES_PORT
unix_socket_directories = ''
max_connections = 200
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 256MB
effective_cache_size = 1GB
work_mem = 8MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] '
log_error_verbosity = terse
log_min_error_statement = panic
log_statement = none
CONF
}

# Removes what keeps a server from starting: backends that outlive a killed server for a moment, and a pid file from
# before a reboot, which may name an unrelated process.
clear_postgres_leftovers() {
  local data=$PG_HOME/data pid cwd leftover=
  for pid in $(pgrep_exe postgres); do
    cwd=$(readlink "/proc/$pid/cwd") || continue
    if [[ $cwd == "$data" ]]; then
      leftover=1
      kill -s QUIT "$pid" 2>/dev/null || true
    fi
  done
  [[ -z $leftover ]] || sleep 0.2
  as_postgres_user rm -f "$data/postmaster.pid"
}

# Starts the server unless it is running. The caller waits with await_postgres.
begin_postgres() {
  lives postgres && return
  find_postgres || die "PostgreSQL is not installed. deploy/run installs it."
  make_postgres_home
  make_postgres_data
  if [[ -z ${POSTGRES_PORT-} ]] || port_taken "$POSTGRES_PORT"; then
    POSTGRES_PORT=$(pick_private_port 15432)
    remember_ports
  fi
  write_postgres_settings
  spawn_postgres
}

spawn_postgres() {
  local become=()
  [[ $EUID -ne 0 ]] || become=(setpriv --reuid=postgres --regid=postgres --init-groups --)
  clear_postgres_leftovers
  spawn postgres env -i PATH="$PATH" LC_ALL=C.UTF-8 DEPLOYED_AS="postgres@$RUN" \
    "${become[@]}" "$PG_BIN/postgres" -D "$PG_HOME/data"
}

postgres_ready() {
  port_held_by "$POSTGRES_PORT" "$(pid_of postgres)" && "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "$POSTGRES_PORT" -t 2
}

postgres_settled() { ! lives postgres || postgres_ready; }

await_postgres() {
  local attempt
  for attempt in 1 2 3; do
    await 60 postgres_settled || break
    lives postgres && return
    # If another process has taken the port since it was picked, begin_postgres picks another one.
    if ! port_taken "$POSTGRES_PORT" || ((attempt == 3)); then break; fi
    begin_postgres
  done
  die_with "$RUN/log/postgres.log" "PostgreSQL did not start; see $RUN/log/postgres.log."
}

# SIGINT is PostgreSQL's fast shutdown: it ends all sessions without waiting for clients, and keeps the data.
stop_postgres() { stop_process postgres INT "${1:-30}"; }

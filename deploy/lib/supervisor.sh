#!/usr/bin/env bash
# Supervises the processes of a stack. Each empty file in .run/wanted names a process: adding a file starts the process,
# removing it stops the process. A run directory has at most one supervisor (.run/run.lock).

declare -A RUNNING=() SINCE=() FAILURES=() RETRY_AT=()
# When the sizes of the logs are checked next, in milliseconds.
ROTATE_AT=0

# Whether a supervisor is running.
supervised() {
  [[ -e $RUN/run.lock ]] || return 1
  # The subshell's own descriptor releases the lock at its exit.
  ! (exec 7<"$RUN/run.lock" && flock -n 7)
}

want() { : >"$RUN/wanted/$1"; }
unwant() { rm -f "$RUN/wanted/$1"; }
wanted() { [[ -e $RUN/wanted/$1 ]]; }

# Keeps the supervisor from restarting a server that is stopped on purpose, until release.
hold() { if wanted "$1"; then mkdir -p "$RUN/held" && mv -f "$RUN/wanted/$1" "$RUN/held/$1"; fi; }

release() {
  [[ -e $RUN/held/$1 ]] || return 0
  mv -f "$RUN/held/$1" "$RUN/wanted/$1"
  await 10 lives "$1" || true
}

now_ms() {
  local now=${EPOCHREALTIME/[.,]/}
  NOW=$((now / 1000))
}

# Bash reports each killed child on stderr, which is discarded.
round() {
  tick
  if ((NOW >= ROTATE_AT)); then
    ROTATE_AT=$((NOW + 1000))
    rotate_logs
  fi
  sleep 0.3
} 2>/dev/null

# Starts wanted processes that are not running, and stops running ones that are no longer wanted.
tick() {
  local path name
  now_ms
  for path in "$RUN"/wanted/*; do
    name=${path##*/}
    [[ -e $path ]] || continue
    if [[ -n ${RUNNING[$name]-} ]]; then
      pid_lives "${RUNNING[$name]}" && continue
      took_note_of_end "$name"
    fi
    ((NOW >= ${RETRY_AT[$name]:-0})) && start_wanted "$name"
  done
  for name in "${!RUNNING[@]}"; do
    wanted "$name" && continue
    say "Stopping $name."
    stop_named "$name" &
    forget "$name"
  done
  return 0
}

start_wanted() {
  if lives "$1"; then
    RUNNING[$1]=$(pid_of "$1")
  elif start_named "$1"; then
    RUNNING[$1]=$(pid_of "$1")
  else
    # The process could not be started (no memory, a full disk): retry later, as after a crash.
    FAILURES[$1]=$((${FAILURES[$1]:-0} + 1))
    RETRY_AT[$1]=$((NOW + 5000))
    return 0
  fi
  now_ms
  SINCE[$1]=$NOW
}

forget() { unset "RUNNING[$1]" "SINCE[$1]" "FAILURES[$1]" "RETRY_AT[$1]"; }

# Schedules the restart of a process that ended: immediately if it ran for five seconds, else with a backoff of up to
# ten seconds.
took_note_of_end() {
  local name=$1 pid=${RUNNING[$1]} lived status=0 how pause=0
  lived=$((NOW - ${SINCE[$name]:-0}))
  wait "$pid" 2>/dev/null || status=$?
  case $status in
    127) how="ended" ;; # not our child: it was taken over from an earlier supervisor
    129 | 1[3-9]?) how="was ended by signal $((status - 128))" ;;
    *) how="ended with code $status" ;;
  esac
  unset "RUNNING[$name]"
  ((lived < 5000)) || FAILURES[$name]=0
  FAILURES[$name]=$((${FAILURES[$name]:-0} + 1))
  case ${FAILURES[$name]} in
    1) ;;
    2 | 3) pause=1 ;;
    4) pause=2 ;;
    5) pause=5 ;;
    *) pause=10 ;;
  esac
  RETRY_AT[$name]=$((NOW + pause * 1000))
  if ((pause)); then
    say "$name (pid $pid) $how; restarting in $pause s. Log: $RUN/log/$name.log"
  else
    say "$name (pid $pid) $how; restarting."
  fi
}

# Stops everything in order: ingest, so that no new requests arrive; workers and notifier; the servers.
stop_all() {
  local name
  for name in ingest 'worker-*' notifier; do
    stop_matching "$name"
  done
  rm -rf "$RUN/wanted" "$RUN/held"
  stop_rabbitmq
  stop_postgres
}

# Stops all processes of one kind concurrently.
stop_matching() {
  local path stopping=()
  for path in "$RUN"/pids/$1; do
    [[ -e $path ]] || continue
    unwant "${path##*/}"
    stop_named "${path##*/}" &
    stopping+=($!)
  done
  ((${#stopping[@]} == 0)) || wait "${stopping[@]}"
}

# Cleans up after a killed supervisor: stops its services, whose programs may be outdated, and keeps its servers.
clear_leftovers() {
  local path name
  rm -rf "$RUN/wanted" "$RUN/held"
  mkdir -p "$RUN/wanted"
  for path in "$RUN"/pids/*; do
    name=${path##*/}
    [[ -e $path ]] || continue
    if ! lives "$name"; then
      rm -f "$path"
    elif [[ $name != postgres && $name != rabbitmq ]]; then
      say "Stopping $name, left over from an earlier run."
      stop_named "$name"
    fi
  done
}

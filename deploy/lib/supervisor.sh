#!/usr/bin/env bash
# Keeps the processes of a stack alive. What is to run stands in .run/wanted, an empty file a name: whoever adds a name
# there gets a process, whoever removes one stops it. Held by one supervisor a run directory (.run/run.lock).

declare -A RUNNING=() SINCE=() FAILURES=() RETRY_AT=()

# Does a supervisor hold this run directory?
supervised() {
  [[ -e $RUN/run.lock ]] || return 1
  # The descriptor is the subshell's own, so trying takes nothing from anybody.
  ! (exec 7<"$RUN/run.lock" && flock -n 7)
}

want() { : >"$RUN/wanted/$1"; }
unwant() { rm -f "$RUN/wanted/$1"; }
wanted() { [[ -e $RUN/wanted/$1 ]]; }

# A server that is stopped on purpose beside its supervisor stays down until it is started on purpose.
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

# Bash reports each killed child on stderr, in words of its own.
round() {
  tick
  sleep 0.3
} 2>/dev/null

# One round: start what is wanted and does not live, stop what lives and is not wanted any more.
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
    say "$name is stopped."
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
    # No process could be made (no memory, a full disk): try again like after a death.
    FAILURES[$1]=$((${FAILURES[$1]:-0} + 1))
    RETRY_AT[$1]=$((NOW + 5000))
    return 0
  fi
  now_ms
  SINCE[$1]=$NOW
}

forget() { unset "RUNNING[$1]" "SINCE[$1]" "FAILURES[$1]" "RETRY_AT[$1]"; }

# A process that had lived for five seconds is started again at once; one that dies young again and again after a
# pause that grows to ten seconds.
took_note_of_end() {
  local name=$1 pid=${RUNNING[$1]} lived status=0 how pause=0
  lived=$((NOW - ${SINCE[$name]:-0}))
  wait "$pid" 2>/dev/null || status=$?
  case $status in
    127) how="ended" ;; # not our child, but one that was taken over
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
    say "$name (pid $pid) $how; it is started again in $pause s. Its log: $RUN/log/$name.log"
  else
    say "$name (pid $pid) $how; it is started again."
  fi
}

# Stops everything in order: nothing new comes in, then what is under way is finished, then the servers.
stop_all() {
  local name
  for name in ingest 'worker-*' notifier; do
    stop_matching "$name"
  done
  rm -rf "$RUN/wanted" "$RUN/held"
  stop_rabbitmq
  stop_postgres
}

# All of one kind at the same time.
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

# After a supervisor was killed: its services are stopped (their program may be an old one), its servers are kept.
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
      say "Stopping $name, which an earlier run left behind."
      stop_named "$name"
    fi
  done
}

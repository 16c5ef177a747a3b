#!/usr/bin/env bash
# Controls a running stack: adds and stops workers, shows the status, stops everything.

# Adds a worker to the list of the running supervisor, which starts it.
add_worker() {
  local n=2
  must_be_supervised
  wanted ingest || die "The stack is still starting. Try again when deploy/run reports that it is ready."
  exec 8>"$RUN/wanted.lock"
  flock 8
  while wanted "worker-$n" || lives "worker-$n"; do n=$((n + 1)); done
  rm -f "$RUN/health/worker-$n"
  want "worker-$n"
  flock -u 8
  if ! await 30 service_ready "worker-$n"; then
    unwant "worker-$n"
    gave_up "worker-$n"
  fi
  say "worker-$n is running (pid $(pid_of "worker-$n")). Log: $RUN/log/worker-$n.log. To stop it, run deploy/run stop worker-$n."
}

must_be_supervised() { supervised || die "Nothing is running in $RUN. Start it with deploy/run."; }

stop() {
  local pid
  if [[ -n ${1-} ]]; then
    must_be_supervised
    [[ $1 == worker-* ]] || die "Only workers can be stopped individually: deploy/run stop worker-N."
    wanted "$1" || die "$1 is not running. Run deploy/run status for a list."
    unwant "$1"
    await 40 process_gone "$1" || die "$1 did not stop; see $RUN/log/$1.log."
  elif supervised; then
    read -r pid <"$RUN/run.lock"
    kill -s TERM "$pid"
    await 180 unsupervised || die "deploy/run (pid $pid) did not stop."
  else
    clear_leftovers
    stop_all
  fi
}

process_gone() { ! lives "$1"; }
unsupervised() { ! supervised; }

status() {
  local path name misses all=0
  for path in "$RUN"/pids/*; do
    name=${path##*/}
    [[ -e $path ]] || continue
    misses=
    if ! lives "$name"; then
      say "$name is not running"
      all=1
    elif [[ $name != postgres && $name != rabbitmq ]] && ! service_ready "$name"; then
      say "$name is running but not ready (pid $(pid_of "$name"))"
      all=1
    elif [[ $name != postgres && $name != rabbitmq ]] && misses=$(service_misses "$name") && [[ -n $misses ]]; then
      say "$name is running (pid $(pid_of "$name")), but dependencies are unavailable: $misses"
      all=1
    else
      say "$name is running (pid $(pid_of "$name"))"
    fi
  done
  supervised || say "No supervisor (deploy/run) is running."
  return $all
}

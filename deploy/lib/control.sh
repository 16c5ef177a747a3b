#!/usr/bin/env bash
# What can be done beside a running stack: one more worker, one less, a look, the end.

# One more worker: it is put on the running supervisor's list, which starts it like its own.
add_worker() {
  local n=2
  must_be_supervised
  wanted ingest || die "The stack is still starting: try again when it says that it is ready."
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
  say "worker-$n runs (pid $(pid_of "worker-$n")). Its log: $RUN/log/worker-$n.log. To stop it: deploy/run stop worker-$n"
}

must_be_supervised() { supervised || die "Nothing runs in $RUN: start it with deploy/run."; }

stop() {
  local pid
  if [[ -n ${1-} ]]; then
    must_be_supervised
    [[ $1 == worker-* ]] || die "Only workers can be stopped by themselves: deploy/run stop worker-N."
    wanted "$1" || die "There is no $1: deploy/run status lists what runs."
    unwant "$1"
    await 40 process_gone "$1" || die "$1 does not stop: see $RUN/log/$1.log."
  elif supervised; then
    read -r pid <"$RUN/run.lock"
    kill -s TERM "$pid"
    await 180 unsupervised || die "deploy/run (pid $pid) does not stop."
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
      say "$name does not run"
      all=1
    elif [[ $name != postgres && $name != rabbitmq ]] && ! service_ready "$name"; then
      say "$name runs, but is not ready (pid $(pid_of "$name"))"
      all=1
    elif [[ $name != postgres && $name != rabbitmq ]] && misses=$(service_misses "$name") && [[ -n $misses ]]; then
      say "$name runs (pid $(pid_of "$name")), but cannot do its whole work: $misses"
      all=1
    else
      say "$name runs (pid $(pid_of "$name"))"
    fi
  done
  supervised || say "No deploy/run keeps this running."
  return $all
}

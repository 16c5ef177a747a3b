#!/usr/bin/env bash
# Starts, checks and stops processes with pid files.
# DEPLOYED_AS=name@run-directory in a process's environment marks it as ours, so that a stale pid file never matches an
# unrelated process.

# Starts a command in its own session, so that the terminal's Ctrl-C and hang-up do not reach it. The output goes to
# .run/log/NAME.log, the pid to .run/pids/NAME. The command must exec the program, not start it as a child.
# usage: spawn NAME COMMAND…
spawn() {
  local name=$1
  shift
  (
    cd /
    exec 8>&- 9>&-
    exec setsid env DEPLOYED_AS="$name@$RUN" "$@"
  ) </dev/null >>"$RUN/log/$name.log" 2>&1 &
  local pid=$! tries
  # The mark appears after the exec, a few milliseconds from now.
  for ((tries = 0; tries < 200; tries++)); do
    if pid_gone "$pid" || pid_is_ours "$pid" "$name"; then break; fi
    sleep 0.01
  done
  printf '%s\n' "$pid" >"$RUN/pids/.$name.new"
  mv -f "$RUN/pids/.$name.new" "$RUN/pids/$name"
}

# The pid in a pid file, or nothing.
pid_of() {
  local pid=
  { read -r pid <"$RUN/pids/$1"; } 2>/dev/null || true
  [[ $pid =~ ^[1-9][0-9]*$ ]] && printf '%s\n' "$pid"
}

# Whether this pid is alive. A zombie is not.
pid_lives() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  [[ ${stat%% *} != [ZX] ]]
}

# Whether this pid has our mark for that name.
pid_is_ours() {
  local entry
  while IFS= read -r -d '' entry; do
    [[ $entry == "DEPLOYED_AS=$2@$RUN" ]] && return 0
  done 2>/dev/null <"/proc/$1/environ"
  return 1
}

# Whether the process of this name is alive.
lives() {
  local pid
  pid=$(pid_of "$1") && pid_lives "$pid" && pid_is_ours "$pid" "$1"
}

# Stops a process with a signal. Kills it, with a message, if it does not end in time.
# usage: stop_process NAME SIGNAL [SECONDS]
stop_process() {
  local name=$1 signal=$2 seconds=${3:-30} pid
  pid=$(pid_of "$name") || return 0
  if lives "$name"; then
    kill -s "$signal" "$pid" 2>/dev/null || true
    # A paused process would not handle the signal.
    kill -s CONT "$pid" 2>/dev/null || true
    if ! await "$seconds" pid_gone "$pid"; then
      say "$name did not stop within $seconds s; killing it."
      kill -s KILL "$pid" 2>/dev/null || true
      await 5 pid_gone "$pid" || true
    fi
  fi
  # Unless the process was restarted meanwhile.
  [[ $(pid_of "$name") != "$pid" ]] || rm -f "$RUN/pids/$name"
}

pid_gone() { ! pid_lives "$1"; }

# The pids of all visible processes whose program has this file name.
pgrep_exe() {
  find /proc -mindepth 2 -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "*/$1*" -printf '%h\n' 2>/dev/null | sed 's,/proc/,,'
  return 0
}

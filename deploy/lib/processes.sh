#!/usr/bin/env bash
# Processes and their pid files: start one, see whether it lives, stop it.
# Every process is marked by DEPLOYED_AS=name@run-directory in its environment, so that a pid file that is left over
# from before is never taken for somebody else's process.

# Starts a command in a session of its own (the terminal's Ctrl-C and hang-up do not reach it), its output into
# .run/log/NAME.log, its pid into .run/pids/NAME. The command must become the process by exec, not by a child.
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
  # The mark is there once the exec is done, a few milliseconds from now.
  for ((tries = 0; tries < 200; tries++)); do
    if pid_gone "$pid" || pid_is_ours "$pid" "$name"; then break; fi
    sleep 0.01
  done
  printf '%s\n' "$pid" >"$RUN/pids/.$name.new"
  mv -f "$RUN/pids/.$name.new" "$RUN/pids/$name"
}

# The pid that stands in a pid file, or nothing.
pid_of() {
  local pid=
  { read -r pid <"$RUN/pids/$1"; } 2>/dev/null || true
  [[ $pid =~ ^[1-9][0-9]*$ ]] && printf '%s\n' "$pid"
}

# Does this pid live? A zombie, whose parent has not taken note of its death, does not.
pid_lives() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  stat=${stat##*) }
  [[ ${stat%% *} != [ZX] ]]
}

# Does this pid bear our mark for that name?
pid_is_ours() {
  local entry
  while IFS= read -r -d '' entry; do
    [[ $entry == "DEPLOYED_AS=$2@$RUN" ]] && return 0
  done 2>/dev/null <"/proc/$1/environ"
  return 1
}

# Does the process of this name live?
lives() {
  local pid
  pid=$(pid_of "$1") && pid_lives "$pid" && pid_is_ours "$pid" "$1"
}

# Stops a process with a signal and waits for its end, bounded; then kills it with a word.
# usage: stop_process NAME SIGNAL [SECONDS]
stop_process() {
  local name=$1 signal=$2 seconds=${3:-30} pid
  pid=$(pid_of "$name") || return 0
  if lives "$name"; then
    kill -s "$signal" "$pid" 2>/dev/null || true
    # One that was paused would not hear it.
    kill -s CONT "$pid" 2>/dev/null || true
    if ! await "$seconds" pid_gone "$pid"; then
      say "$name did not stop within $seconds s and is killed."
      kill -s KILL "$pid" 2>/dev/null || true
      await 5 pid_gone "$pid" || true
    fi
  fi
  # Unless it was started anew meanwhile.
  [[ $(pid_of "$name") != "$pid" ]] || rm -f "$RUN/pids/$name"
}

pid_gone() { ! pid_lives "$1"; }

# The pids of all processes whose program has this file name, as far as this user may see them.
pgrep_exe() {
  find /proc -mindepth 2 -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "*/$1*" -printf '%h\n' 2>/dev/null | sed 's,/proc/,,'
  return 0
}

#!/usr/bin/env bash
# The run directory (.run) with a stack's data, logs, pids, ports, passwords and connection strings. Sets RUN and
# CHECKOUT. Several stacks can run side by side, each in its own run directory.

# shellcheck disable=SC2034 # used by the scripts that source this
CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# The directory of the programs. deploy/test sets DEPLOY_PROFILE to debug, which builds faster.
# shellcheck disable=SC2034
PROGRAMS=$CHECKOUT/target/${DEPLOY_PROFILE:=release}

# Creates the run directory and its subdirectories, and reads the stored settings.
# usage: open_rundir DIRECTORY
open_rundir() {
  RUN=$(realpath -m -- "$1")
  if [[ -e $RUN && ! -O $RUN ]]; then
    die "$RUN belongs to the user $(stat -c %U "$RUN"). Run this as that user, or set ROLLCALL_RUN_DIR to another directory."
  fi
  if ! { mkdir -p "$RUN"/{log,pids,health} && : >"$RUN/.writable" && rm -f "$RUN/.writable"; } 2>/dev/null; then
    die "Cannot write to $RUN. Check its owner, and whether the disk is full or read-only."
  fi
  # Others may traverse the directory but not list it: PostgreSQL runs as another user if this user is root.
  chmod 711 "$RUN"
  chmod 755 "$RUN/log" "$RUN/pids"
  chmod 700 "$RUN/health"
  read_settings "$RUN/ports.env"
  read_settings "$RUN/passwords.env"
}

# Reads lines NAME=value into variables. Does not execute the file.
read_settings() {
  local line name
  [[ -r $1 ]] || return 0
  while IFS= read -r line; do
    name=${line%%=*}
    # A value may contain =, also at its end.
    if [[ $name =~ ^[A-Z_]+_(PORT|PASSWORD|COOKIE|KEY)$ ]]; then printf -v "$name" '%s' "${line#*=}"; fi
  done <"$1"
}

# The value of one line NAME=value, or nothing.
# usage: setting NAME FILE…
setting() {
  local name=$1
  shift
  sed -n "s/^$name=//p" "$@"
}

# Writes named variables as lines NAME=value, atomically, readable by the owner only.
# usage: write_settings FILE NAME…
write_settings() {
  local file=$1 name
  shift
  (
    umask 077
    for name in "$@"; do
      printf '%s=%s\n' "$name" "${!name}"
    done >"$file.new"
  ) || die "Cannot write $file. Check whether the disk is full."
  mv -f "$file.new" "$file"
}

# The free space on the disk of a path, which need not exist yet, in MiB.
free_mib() {
  local path=$1
  while [[ ! -e $path ]]; do path=$(dirname "$path"); done
  df -Pm -- "$path" | awk 'NR == 2 { print $4 }'
}

# usage: need_space MIB PATH WHAT-FOR
need_space() {
  local free
  free=$(free_mib "$2")
  ((free >= $1)) || die "The disk of $2 has only $free MiB free, but $3 needs about $1 MiB. Free some space."
}

# The size in bytes at which a log is rotated, and how many old ones are kept.
LOG_SIZE=$((16 << 20))
LOGS_KEPT=4

# Rotates the logs that have become too large, also those of running processes. They append, so after the truncation
# they write at the beginning. Old logs are NAME.log.1 (the latest) to NAME.log.4. Each holds the last LOG_SIZE bytes of
# its log, so that the total is limited however fast a log has grown. Lines that are written during the rotation are lost.
rotate_logs() {
  local log n
  while IFS= read -r -d '' log; do
    for ((n = LOGS_KEPT; n > 1; n--)); do
      [[ ! -e $log.$((n - 1)) ]] || mv -f -- "$log.$((n - 1))" "$log.$n" || true
    done
    tail -c "$LOG_SIZE" -- "$log" >"$log.1" || rm -f -- "$log.1"
    : >"$log" || true
  done < <(find "$RUN/log" -maxdepth 1 -name '*.log' -size "+${LOG_SIZE}c" -print0)
}

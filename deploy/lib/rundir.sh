#!/usr/bin/env bash
# The run directory (.run): everything a stack keeps, namely data, logs, pids, ports, passwords and connection strings.
# Sets RUN and CHECKOUT (the checkout). Several stacks can live side by side, each in a run directory of its own.

# shellcheck disable=SC2034 # for those who source this
CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# Where the programs are: deploy/test sets DEPLOY_PROFILE to debug, whose programs are built in a fraction of the time.
# shellcheck disable=SC2034
PROGRAMS=$CHECKOUT/target/${DEPLOY_PROFILE:=release}

# Makes the run directory and its folders, and reads what is remembered there.
# usage: open_rundir DIRECTORY
open_rundir() {
  RUN=$(realpath -m -- "$1")
  if [[ -e $RUN && ! -O $RUN ]]; then
    die "$RUN belongs to the user $(stat -c %U "$RUN"): run this as that user, or name another folder in ROLLCALL_RUN_DIR."
  fi
  if ! { mkdir -p "$RUN"/{log,pids,health} && : >"$RUN/.writable" && rm -f "$RUN/.writable"; } 2>/dev/null; then
    die "$RUN cannot be written: check its owner, and whether its disk is full or read-only."
  fi
  # Others may pass through but not look: PostgreSQL runs as another user when this is root.
  chmod 711 "$RUN"
  chmod 755 "$RUN/log" "$RUN/pids"
  chmod 700 "$RUN/health"
  read_settings "$RUN/ports.env"
  read_settings "$RUN/passwords.env"
}

# Reads lines NAME=value into variables; nothing in the file is executed.
read_settings() {
  local line name
  [[ -r $1 ]] || return 0
  while IFS= read -r line; do
    name=${line%%=*}
    # A value may have a = of its own, also at its end.
    if [[ $name =~ ^[A-Z]+_(PORT|PASSWORD|COOKIE|KEY)$ ]]; then printf -v "$name" '%s' "${line#*=}"; fi
  done <"$1"
}

# The value of one line NAME=value, or nothing.
# usage: setting NAME FILE…
setting() {
  local name=$1
  shift
  sed -n "s/^$name=//p" "$@"
}

# Writes named variables as lines NAME=value, whole or not at all, readable by the owner only.
# usage: write_settings FILE NAME…
write_settings() {
  local file=$1 name
  shift
  (
    umask 077
    for name in "$@"; do
      printf '%s=%s\n' "$name" "${!name}"
    done >"$file.new"
  ) || die "$file cannot be written: check whether the disk is full."
  mv -f "$file.new" "$file"
}

# How much is free where a path lies (or will lie), in MiB.
free_mib() {
  local path=$1
  while [[ ! -e $path ]]; do path=$(dirname "$path"); done
  df -Pm -- "$path" | awk 'NR == 2 { print $4 }'
}

# usage: need_space MIB PATH WHAT-FOR
need_space() {
  local free
  free=$(free_mib "$2")
  ((free >= $1)) || die "Only $free MiB are free on the disk of $2, and $3 needs about $1 MiB: free some space there."
}

# Moves logs that have grown over 50 MB aside, one generation; called before their writers start.
rotate_logs() {
  local log
  while IFS= read -r -d '' log; do
    lives "$(basename "$log" .log)" || mv -f "$log" "$log.1"
  done < <(find "$RUN/log" -name '*.log' -size +50M -print0)
}

#!/usr/bin/env bash
# Output of the scripts: progress messages, and one clear error message on failure. Sourced by all scripts in deploy/.

# Writing may fail when the terminal is closed. That must not end the script.
say() { printf '%s\n' "$*" 2>/dev/null || true; }

warn() { printf '%s\n' "$*" >&2 2>/dev/null || true; }

# Ends the script with a message. After a requested stop (STOP), failures are its consequence and are not reported.
die() {
  [[ -z ${STOP-} ]] || exit 0
  warn "$@"
  exit 1
}

# As die, after the last lines of a log.
# usage: die_with LOG SENTENCE
die_with() {
  if [[ -z ${STOP-} && -s $1 ]]; then tail -n 6 -- "$1" | cut -c1-300 | sed 's/^/    /' >&2; fi
  die "$2"
}

# Retries a command ten times a second until it succeeds. Fails after SECONDS, or when a stop is requested.
# usage: await SECONDS COMMAND…
await() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) && [[ -z ${STOP-} ]] || return 1
    sleep 0.1
  done
}

# A secret of 128 random bits that needs no quoting.
secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

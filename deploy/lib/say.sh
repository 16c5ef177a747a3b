#!/usr/bin/env bash
# What a script says to the person who runs it: plain short lines, and one clear sentence when it cannot go on.
# Sourced by everything in deploy/.

# Writing may fail when the terminal is gone; that must not end the script that writes.
say() { printf '%s\n' "$*" 2>/dev/null || true; }

warn() { printf '%s\n' "$*" >&2 2>/dev/null || true; }

# Ends the script with one sentence. Where a stop was asked for (STOP), what failed because of it is not worth a word.
die() {
  [[ -z ${STOP-} ]] || exit 0
  warn "$@"
  exit 1
}

# The same, after the last lines of a log, indented.
# usage: die_with LOG SENTENCE
die_with() {
  if [[ -z ${STOP-} && -s $1 ]]; then tail -n 6 -- "$1" | cut -c1-300 | sed 's/^/    /' >&2; fi
  die "$2"
}

# Tries a command ten times a second until it succeeds; fails after so many seconds, or when a stop is asked for.
# usage: await SECONDS COMMAND…
await() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) && [[ -z ${STOP-} ]] || return 1
    sleep 0.1
  done
}

# A secret of 128 random bits that needs no quoting anywhere.
secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

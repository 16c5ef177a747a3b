#!/usr/bin/env bash
# Runs the public SCIM conformance suites, scim2-cli and scim-sanity (PyPI), against one fresh stack, and the spelling
# checker typos. They are pinned by version and hash, and installed into a virtual environment that is kept in target/.

SUITES=$CHECKOUT/target/suites
PINS=$CHECKOUT/deploy/lib/suites.txt

# The tenant settings for each suite.
# scim2-cli rejects a ServiceProviderConfig with securityEvents (RFC 9967), which it does not support.
CLI_SETTINGS=(discovery=core)
# scim-sanity adds an unknown member, and expects 200.
SANITY_SETTINGS=(discovery=full unknown_members=skip)

# scim-sanity's checks for agents, which exist only in a draft and not in SCIM 2.0. Any other skip is a failure.
SANITY_SKIPS=("Agent CRUD Lifecycle" "Agent Rapid Lifecycle" "AgenticApplication CRUD Lifecycle")

# The expected failures of scim2-cli, with reasons. Any other failure is an error, and so is one of these that passes.
# - It removes each attribute that /Schemas does not declare required, and expects it to be absent. `active` is not
#   required in requests but always has a value, with true as the default. Removing it would reactivate a deactivated
#   user, so the removal is rejected (400 mutability), and has no effect on an inactive user. The suite chooses the value
#   at random.
CLI_MISSES=("check_remove_attribute: * remove attribute 'active'")

# Sets PYTHON to a version that runs the suites and can create virtual environments.
find_python() {
  local name
  for name in python3 python3.{11..15} /usr/bin/python3; do
    if "$name" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      PYTHON=$name
      return
    fi
  done
  return 1
}

# With .typos.toml.
spelling() {
  make_suites
  "$SUITES/bin/typos"
}

make_suites() {
  local made_of
  # A virtual environment cannot be moved.
  made_of="$SUITES $(sha256sum <"$PINS")"
  if [[ $(cat "$SUITES/made-of" 2>/dev/null) == "$made_of" ]] && "$SUITES/bin/python" -c '' 2>/dev/null; then return; fi
  find_python || install_packages python3-venv
  find_python || die "The public suites need Python 3.11 or newer with the module venv. Install it and run this again."
  say "Installing the public suites into $SUITES."
  rm -rf -- "$SUITES"
  "$PYTHON" -m venv "$SUITES"
  "$SUITES/bin/pip" --quiet --disable-pip-version-check install --require-hashes --only-binary :all: --no-deps -r "$PINS"
  printf '%s\n' "$made_of" >"$SUITES/made-of"
}

# Starts a stack as a user does, without the caller's settings.
start_stack() {
  unset DATABASE_URL AMQP_URL "${!ROLLCALL_@}"
  ROLLCALL_RUN_DIR=$TMPDIR/suites
  ROLLCALL_PORT=$(pick_port 28000 scatter)
  export ROLLCALL_RUN_DIR ROLLCALL_PORT
  "$CHECKOUT/deploy/run" >"$TMPDIR/suites.log" 2>&1 &
  STACK=$!
  trap stop_stack EXIT
  await 900 stack_decided || true
  [[ -s $ROLLCALL_RUN_DIR/okta.env ]] || die_with "$TMPDIR/suites.log" "The stack for the public suites did not start; see its output above."
}

# okta.env is written last, just before the stack reports that it is ready.
stack_decided() { [[ -s $ROLLCALL_RUN_DIR/okta.env ]] || ! pid_lives "$STACK"; }

stop_stack() {
  kill -s TERM "$STACK" 2>/dev/null || true
  wait "$STACK" || true
}

# Prints a suite's failures, one per line: the check, and the start of its reason.
missed_checks() {
  awk -v words="$1" '
    $0 ~ words { if (check != "") print check; check = ""; if (!/^(SUCCESS|PASS|SKIP)/) { check = $0; sub(/^[A-Z]+ /, "", check) }; next }
    check != "" && /^ +[^ ]/ { sub(/^ +/, ""); sub(/: .*/, ""); print check ": " $0; check = "" }
    END { if (check != "") print check }' "$2"
}

# Runs one suite, shows the checks that did not pass, and counts all checks.
# usage: suite NAME COMMAND…     SKIPS has the names of expected skips, MISSES one pattern for each expected failure
suite() {
  local name=$1 out=$TMPDIR/$1.out status=0 word check passed=0 skipped=() missed=()
  local words='^(SUCCESS|COMPLIANT|ACCEPTABLE|DEVIATION|ERROR|CRITICAL|SKIPPED|PASS|WARN|FAIL|SKIP) '
  shift
  NO_PROXY='*' "$@" >"$out" 2>&1 || status=$?
  # One suite prints results in color, the other in brackets.
  sed -i -E 's/\x1b\[[0-9;]*m//g; s/^ +\[([A-Z]+)\] /\1 /' "$out"
  while read -r word check; do
    case $word in
      SUCCESS | PASS) passed=$((passed + 1)) ;;
      SKIP*) skipped+=("$check") ;;
    esac
  done < <(grep -E "$words" "$out")
  mapfile -t missed < <(missed_checks "$words" "$out")
  awk -v words="$words" '$0 ~ words { show = !/^(SUCCESS|PASS) / } /^ *$/ { show = 0 } show' "$out" | cut -c1-400 | sed 's/^/    /'
  say "$name: $passed passed, ${#skipped[@]} skipped, ${#missed[@]} failed (${#MISSES[@]} expected)"
  [[ $(sorted "${skipped[@]}") == "$(sorted "${SKIPS[@]}")" ]] || die "$name skipped unexpected checks. Expected: ${SKIPS[*]:-none}."
  are_expected "${missed[@]}" || die_with "$out" "$name has unexpected failures. Expected: ${MISSES[*]:-none}."
  # The suite's exit code must be nonzero exactly if a check failed.
  if (((status != 0) != (${#missed[@]} > 0) || !passed)); then die_with "$out" "$name exited with code $status without running all checks."; fi
}

# Whether the failures match MISSES, in any order.
are_expected() {
  local miss pattern
  (($# == ${#MISSES[@]})) || return 1
  for pattern in "${MISSES[@]}"; do
    for miss in "$@"; do
      # shellcheck disable=SC2053 # a pattern
      if [[ $miss == $pattern ]]; then continue 2; fi
    done
    return 1
  done
}

sorted() { printf '%s\n' "$@" | sort; }

# Applies these settings to the suites' tenant, and waits until they take effect, which takes up to a second.
# usage: set_tenant NAME SETTING…
set_tenant() {
  local DATABASE_URL name=$1
  shift
  DATABASE_URL=$(setting DATABASE_URL "$ROLLCALL_RUN_DIR/servers.env")
  export DATABASE_URL
  say "Running $name with $*."
  "$PROGRAMS/rollcall" tenant set "$USERNAME" "$@" >/dev/null
  sleep 2
}

public_suites() {
  local name failed=0 BASE_URL='' USERNAME='' API_KEY='' SKIPS=() MISSES=()
  make_suites
  start_stack
  for name in BASE_URL USERNAME API_KEY; do
    printf -v "$name" '%s' "$(setting "$name" "$ROLLCALL_RUN_DIR/okta.env")"
  done
  export SCIM_CLI_HEADERS="Authorization: Bearer $API_KEY"
  # In subshells, so that both suites run even if one fails.
  (set_tenant scim2-cli "${CLI_SETTINGS[@]}") || failed=1
  MISSES=("${CLI_MISSES[@]}")
  (suite scim2-cli "$SUITES/bin/scim" --url "$BASE_URL" test) || failed=1
  (set_tenant scim-sanity "${SANITY_SETTINGS[@]}") || failed=1
  SKIPS=("${SANITY_SKIPS[@]}")
  MISSES=()
  (suite scim-sanity "$SUITES/bin/scim-sanity" probe "$BASE_URL" --username "$USERNAME" --password "$API_KEY" \
    --i-accept-side-effects) || failed=1
  return $failed
}

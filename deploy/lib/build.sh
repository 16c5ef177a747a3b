#!/usr/bin/env bash
# Cargo: found, new enough, and run so that a signal reaches the script at once.

need_cargo() {
  local have need
  command -v cargo >/dev/null || PATH=$PATH:${HOME:-}/.cargo/bin
  if ! command -v cargo >/dev/null; then
    [[ -z ${SUDO_USER-} ]] || die "cargo is missing for root: start this as $SUDO_USER, without sudo; it asks for sudo where it needs it."
    die "cargo is missing: install Rust as https://rustup.rs says, open a new terminal, and start again."
  fi
  need=$(sed -nE 's/^rust-version = "([0-9.]+)".*/\1/p' "$CHECKOUT/Cargo.toml")
  have=$(cd "$CHECKOUT" && cargo --version | sed -nE 's/^cargo ([0-9.]+).*/\1/p')
  if [[ -n $need && -n $have && $(printf '%s\n' "$need" "$have" | sort -V | head -n 1) != "$need" ]]; then
    die "cargo is $have, and Rollcall needs $need or newer: get it with rustup update, or from https://rustup.rs."
  fi
}

# The programs that run; the target folder is the checkout's, wherever the user keeps those of other projects.
build_services() {
  local group optimised=()
  [[ $DEPLOY_PROFILE != release ]] || optimised=(--release)
  need_space "$([[ -x $PROGRAMS/ingest ]] && echo 1024 || echo 3072)" "$CHECKOUT/target" "the build"
  (cd "$CHECKOUT" && CARGO_TARGET_DIR=$CHECKOUT/target exec setsid cargo build "${optimised[@]}" --locked -p ingest -p worker -p notifier) </dev/null 9>&- &
  group=$!
  while pid_lives "$group"; do
    if [[ -n ${STOP-} ]]; then kill -s TERM -- "-$group" 2>/dev/null || true; fi
    sleep 0.1
  done
  wait "$group" || die "The build failed: see cargo's words above."
}

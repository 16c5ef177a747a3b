#!/usr/bin/env bash
# Finds cargo, checks its version, and runs it so that signals still reach the script.

need_cargo() {
  local have need
  command -v cargo >/dev/null || PATH=$PATH:${HOME:-}/.cargo/bin
  if ! command -v cargo >/dev/null; then
    [[ -z ${SUDO_USER-} ]] || die "cargo is not installed for root. Run this as $SUDO_USER, without sudo; it calls sudo where necessary."
    die "cargo is not installed. Install Rust from https://rustup.rs, open a new terminal, and run this again."
  fi
  need=$(sed -nE 's/^rust-version = "([0-9.]+)".*/\1/p' "$CHECKOUT/Cargo.toml")
  have=$(cd "$CHECKOUT" && cargo --version | sed -nE 's/^cargo ([0-9.]+).*/\1/p')
  if [[ -n $need && -n $have && $(printf '%s\n' "$need" "$have" | sort -V | head -n 1) != "$need" ]]; then
    die "cargo is version $have, but Rollcall needs $need or newer. Run rustup update, or install Rust from https://rustup.rs."
  fi
}

# Installs a tool of cargo into target/tools, unless this version is there. A debug build: building takes longer than
# running it.
# usage: install_tool NAME VERSION
install_tool() {
  local tools=$CHECKOUT/target/tools
  if [[ ! -x $tools/bin/$1 ]] || ! grep -qF "\"$1 $2 (" "$tools/.crates.toml" 2>/dev/null; then
    say "Building $1 $2."
    cargo install "$1" --debug --locked --quiet --force --version "$2" --root "$tools"
  fi
}

# Builds everything in release mode, for a script that starts private servers and measures: $RUN is a temporary
# directory from then on.
build_to_measure() {
  need_cargo
  RUN=$(mktemp -d)
  trap 'rm -rf -- "$RUN"' EXIT
  install_packages gcc libc6-dev ca-certificates curl postgresql rabbitmq-server
  need_space 3072 "$CHECKOUT/target" "the build"
  say "Building the changes."
  export CARGO_TARGET_DIR=$CHECKOUT/target ROLLCALL_E2E_BUILT=1
  (cd "$CHECKOUT" && cargo build --release --locked --workspace --bins)
}

# Builds the services, always in the checkout's target directory.
build_services() {
  local group what=(--release -p ingest -p worker -p notifier -p rollcall)
  # As deploy/test builds them. With another selection cargo would compile many dependencies again.
  [[ $DEPLOY_PROFILE == release ]] || what=(--workspace --bins)
  need_space "$([[ -x $PROGRAMS/ingest ]] && echo 1024 || echo 3072)" "$CHECKOUT/target" "the build"
  (cd "$CHECKOUT" && CARGO_TARGET_DIR=$CHECKOUT/target exec setsid cargo build --locked "${what[@]}") </dev/null 9>&- &
  group=$!
  while pid_lives "$group"; do
    if [[ -n ${STOP-} ]]; then kill -s TERM -- "-$group" 2>/dev/null || true; fi
    sleep 0.1
  done
  wait "$group" || die "The build failed; see cargo's output above."
}

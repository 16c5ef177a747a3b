#!/usr/bin/env bash
# The two private servers together, and what is remembered about them: ports.env and passwords.env are kept from run to
# run, servers.env is written from them for everybody else to read.

# The checkout's own stack gets the ports that are easy to know; others scatter, since several may start at once.
pick_private_port() {
  if [[ $RUN == "$CHECKOUT/.run" ]]; then pick_port "$1"; else pick_port "$1" scatter; fi
}

remember_ports() { write_known ports.env POSTGRES_PORT AMQP_PORT DIST_PORT EPMD_PORT; }
remember_passwords() { write_known passwords.env POSTGRES_PASSWORD AMQP_PASSWORD RABBIT_COOKIE; }

# Writes those of the named variables that are set.
write_known() {
  local file=$1 name known=()
  shift
  for name in "$@"; do
    [[ -z ${!name-} ]] || known+=("$name")
  done
  write_settings "$RUN/$file" "${known[@]}"
}

private_database_url() { printf 'postgres://rollcall:%s@127.0.0.1:%s/rollcall' "$POSTGRES_PASSWORD" "$POSTGRES_PORT"; }
private_amqp_url() { printf 'amqp://rollcall:%s@127.0.0.1:%s/%%2f' "$AMQP_PASSWORD" "$AMQP_PORT"; }

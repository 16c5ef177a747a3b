#!/usr/bin/env bash
# The two private servers together, and what is remembered about them: ports.env and passwords.env are kept from run to
# run, with the keys that services of one stack share; servers.env is written from them for everybody else to read.

# The checkout's own stack gets the ports that are easy to know; others scatter, since several may start at once.
pick_private_port() {
  if [[ $RUN == "$CHECKOUT/.run" ]]; then pick_port "$1"; else pick_port "$1" scatter; fi
}

remember_ports() { write_known ports.env POSTGRES_PORT AMQP_PORT DIST_PORT EPMD_PORT; }
remember_passwords() { write_known passwords.env POSTGRES_PASSWORD AMQP_PASSWORD RABBIT_COOKIE SECRET_KEY UNSUBSCRIBE_KEY; }

# Writes those of the named variables that are set.
write_known() {
  local file=$1 name known=()
  shift
  for name in "$@"; do
    [[ -z ${!name-} ]] || known+=("$name")
  done
  write_settings "$RUN/$file" "${known[@]}"
}

# What the services and the operator's CLI find their way by. DATABASE_URL and AMQP_URL are set.
write_servers_env() {
  if [[ -z ${SECRET_KEY-} || -z ${UNSUBSCRIBE_KEY-} ]]; then
    SECRET_KEY=$(head -c 32 /dev/urandom | base64) UNSUBSCRIBE_KEY=$(secret)
    remember_passwords
  fi
  local ROLLCALL_SECRET_KEY=${ROLLCALL_SECRET_KEY:-$SECRET_KEY}
  write_known servers.env DATABASE_URL AMQP_URL ROLLCALL_SECRET_KEY
}

private_database_url() { printf 'postgres://rollcall:%s@127.0.0.1:%s/rollcall' "$POSTGRES_PASSWORD" "$POSTGRES_PORT"; }
private_amqp_url() { printf 'amqp://rollcall:%s@127.0.0.1:%s/%%2f' "$AMQP_PASSWORD" "$AMQP_PORT"; }

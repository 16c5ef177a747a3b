#!/usr/bin/env bash
# Settings of the two private servers. ports.env and passwords.env persist between runs, with the keys that the services
# of a stack share. servers.env is generated from them for other programs.

# The stack in the checkout's .run gets well-known ports. Others get random ones, since several may start at once.
pick_private_port() {
  if [[ $RUN == "$CHECKOUT/.run" ]]; then pick_port "$1"; else pick_port "$1" scatter; fi
}

remember_ports() { write_known ports.env POSTGRES_PORT AMQP_PORT DIST_PORT EPMD_PORT; }
remember_passwords() { write_known passwords.env POSTGRES_PASSWORD AMQP_PASSWORD RABBIT_COOKIE SECRET_KEY UNSUBSCRIBE_KEY; }

# Writes the named variables that are set.
write_known() {
  local file=$1 name known=()
  shift
  for name in "$@"; do
    [[ -z ${!name-} ]] || known+=("$name")
  done
  write_settings "$RUN/$file" "${known[@]}"
}

# Writes the connection strings for the services and the CLI. Requires DATABASE_URL and AMQP_URL.
write_servers_env() {
  if [[ -z ${SECRET_KEY-} || -z ${UNSUBSCRIBE_KEY-} ]]; then
    SECRET_KEY=$(head -c 32 /dev/urandom | base64) UNSUBSCRIBE_KEY=$(secret)
    remember_passwords
  fi
  local ROLLCALL_SECRET_KEY=${ROLLCALL_SECRET_KEY:-$SECRET_KEY}
  write_known servers.env DATABASE_URL AMQP_URL ROLLCALL_SECRET_KEY ROLLCALL_ALLOW_PLAINTEXT
}

private_database_url() { printf 'postgres://rollcall:%s@127.0.0.1:%s/rollcall' "$POSTGRES_PASSWORD" "$POSTGRES_PORT"; }
private_amqp_url() { printf 'amqp://rollcall:%s@127.0.0.1:%s/%%2f' "$AMQP_PASSWORD" "$AMQP_PORT"; }

#!/usr/bin/env bash
# Settings of the two private servers. ports.env and passwords.env persist between runs, with the keys that the services
# of a stack share. servers.env is generated from them for other programs.

# The stack in the checkout's .run gets well-known ports. Others get random ones, since several may start at once.
pick_private_port() {
  if [[ $RUN == "$CHECKOUT/.run" ]]; then pick_port "$1"; else pick_port "$1" scatter; fi
}

remember_ports() { write_known ports.env POSTGRES_PORT AMQP_PORT DIST_PORT EPMD_PORT; }
remember_passwords() {
  local names=("${IDENTITIES[@]^^}")
  write_known passwords.env POSTGRES_PASSWORD AMQP_PASSWORD RABBIT_COOKIE SECRET_KEY UNSUBSCRIBE_KEY \
    "${names[@]/%/_DATABASE_PASSWORD}" "${names[@]/%/_AMQP_PASSWORD}" CONTENT_AMQP_PASSWORD
}

# Writes the named variables that are set.
write_known() {
  local file=$1 name known=()
  shift
  for name in "$@"; do
    [[ -z ${!name-} ]] || known+=("$name")
  done
  write_settings "$RUN/$file" "${known[@]}"
}

# Writes the connection strings for the services and the CLI. Requires DATABASE_URL and AMQP_URL: those of the owner.
write_servers_env() {
  local names=("${IDENTITIES[@]^^}")
  if [[ -z ${SECRET_KEY-} || -z ${UNSUBSCRIBE_KEY-} ]]; then
    SECRET_KEY=$(head -c 32 /dev/urandom | base64) UNSUBSCRIBE_KEY=$(secret)
    remember_passwords
  fi
  local ROLLCALL_SECRET_KEY=${ROLLCALL_SECRET_KEY:-$SECRET_KEY}
  write_known servers.env DATABASE_URL AMQP_URL "${names[@]/%/_DATABASE_URL}" "${names[@]/%/_AMQP_URL}" CONTENT_AMQP_URL \
    ROLLCALL_SECRET_KEY ROLLCALL_ALLOW_PLAINTEXT
}

# The connection strings of the owner, or of one program's user.
# usage: private_database_url [NAME]
private_database_url() {
  local user=rollcall${1:+_$1_login} name=${1:+${1^^}_DATABASE_PASSWORD}
  name=${name:-POSTGRES_PASSWORD}
  printf 'postgres://%s:%s@127.0.0.1:%s/rollcall' "$user" "${!name-}" "$POSTGRES_PORT"
}

# usage: private_amqp_url [NAME]
private_amqp_url() {
  local user=rollcall${1:+-$1} name=${1:+${1^^}_AMQP_PASSWORD}
  name=${name:-AMQP_PASSWORD}
  printf 'amqp://%s:%s@127.0.0.1:%s/%%2f' "$user" "${!name-}" "$AMQP_PORT"
}

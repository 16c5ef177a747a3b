#!/usr/bin/env bash
# The private RabbitMQ: finds, configures, starts, probes and stops it. The node shares nothing with the distribution's:
# it has its own name, cookie, data, ports and port mapper (epmd). It loads no plugins and listens on the loopback
# interface only.

find_rabbitmq() {
  local candidate
  # Not the wrapper in /usr/sbin, which requires the system's user and directories.
  for candidate in /usr/lib/rabbitmq/bin "$(dirname "$(realpath -m "$(command -v rabbitmq-server || echo /none/x)")")"; do
    RABBIT_BIN=$candidate
    [[ -x $RABBIT_BIN/rabbitmq-server && -e $RABBIT_BIN/rabbitmq-env ]] && command -v erl epmd >/dev/null && return
  done
  return 1
}

# Sets RABBIT_ENV, the node's environment. env -i excludes variables that the user has set for another node.
rabbitmq_environment() {
  local home=$RUN/rabbitmq
  RABBIT_ENV=(
    env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME="$home/home" DEPLOYED_AS="rabbitmq@$RUN"
    ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$EPMD_PORT"
    RABBITMQ_NODENAME=rollcall@localhost
    RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$AMQP_PORT" RABBITMQ_DIST_PORT="$DIST_PORT"
    RABBITMQ_CONF_ENV_FILE="$home/rabbitmq-env.conf"
    RABBITMQ_CONFIG_FILE="$home/rabbitmq.conf" RABBITMQ_CONFIG_FILES="$home/conf.d"
    RABBITMQ_ADVANCED_CONFIG_FILE="$home/advanced.config"
    RABBITMQ_ENABLED_PLUGINS_FILE="$home/enabled_plugins" RABBITMQ_PLUGINS_EXPAND_DIR="$home/plugins"
    RABBITMQ_MNESIA_BASE="$home/data" RABBITMQ_SCHEMA_DIR="$home/schema" RABBITMQ_GENERATED_CONFIG_DIR="$home/generated"
    RABBITMQ_LOG_BASE="$home/log" RABBITMQ_LOGS=- RABBITMQ_PID_FILE="$home/pid"
    # With these, the start script execs the Erlang VM instead of keeping it as a child, so that the pid file names the
    # broker itself.
    RABBITMQ_ALLOW_INPUT=1 RABBITMQ_SERVER_START_ARGS="-noinput +B i"
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
    ERL_CRASH_DUMP=/dev/null
  )
}

write_rabbitmq_settings() {
  local home=$RUN/rabbitmq
  mkdir -p "$home"/{home,conf.d,data,log,schema,generated,plugins}
  chmod 700 "$home"
  (
    umask 077
    rm -f "$home/home/.erlang.cookie"
    printf '%s' "$RABBIT_COOKIE" >"$home/home/.erlang.cookie"
    chmod 400 "$home/home/.erlang.cookie"
    : >"$home/rabbitmq-env.conf"
    echo '[].' >"$home/enabled_plugins"
    cat >"$home/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$AMQP_PORT
default_vhost = /
default_user = rollcall
default_pass = $AMQP_PASSWORD
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 67108864
log.console.level = info
CONF
  ) || die "Cannot write to $home. Check whether the disk is full."
}

# Starts the broker unless it is running. The caller waits with await_rabbitmq.
begin_rabbitmq() {
  lives rabbitmq && return
  find_rabbitmq || die "RabbitMQ is not installed. deploy/run installs it."
  if [[ -z ${AMQP_PASSWORD-} || -z ${RABBIT_COOKIE-} ]]; then
    AMQP_PASSWORD=$(secret)
    RABBIT_COOKIE=$(secret)
    remember_passwords
  fi
  stop_epmd
  if [[ -z ${AMQP_PORT-} ]] || port_taken "$AMQP_PORT"; then AMQP_PORT=$(pick_private_port 16672); fi
  if [[ -z ${DIST_PORT-} ]] || port_taken "$DIST_PORT"; then DIST_PORT=$(pick_private_port 18672); fi
  if [[ -z ${EPMD_PORT-} ]] || port_taken "$EPMD_PORT"; then EPMD_PORT=$(pick_private_port 20369); fi
  remember_ports
  write_rabbitmq_settings
  spawn_rabbitmq
}

spawn_rabbitmq() {
  rabbitmq_environment
  spawn rabbitmq "${RABBIT_ENV[@]}" "$RABBIT_BIN/rabbitmq-server"
}

# Sends an AMQP protocol header and expects a method frame. The broker opens its port last, after reading its data and
# creating its user. (rabbitmqctl would start a second Erlang VM for each probe.)
rabbitmq_ready() {
  local answer
  port_held_by "$AMQP_PORT" "$(pid_of rabbitmq)" || return 1
  answer=$({
    exec 3<>"/dev/tcp/127.0.0.1/$AMQP_PORT" && printf 'AMQP\0\0\11\1' >&3 && timeout 2 head -c 1 <&3 | od -An -tx1
  } 2>/dev/null) || true
  [[ $answer == *01* ]]
}

rabbitmq_booted() { ! lives rabbitmq || port_held_by "$AMQP_PORT" "$(pid_of rabbitmq)"; }

rabbitmq_settled() { ! lives rabbitmq || rabbitmq_ready; }

await_rabbitmq() {
  local attempt
  for attempt in 1 2 3; do
    await 90 rabbitmq_settled || break
    lives rabbitmq && return
    # If another process has taken a port since it was picked, begin_rabbitmq picks another one.
    if ! port_taken "$AMQP_PORT" && ! port_taken "$DIST_PORT" || ((attempt == 3)); then break; fi
    begin_rabbitmq
  done
  die_with "$RUN/log/rabbitmq.log" "RabbitMQ did not start; see $RUN/log/rabbitmq.log."
}

# Wait until the node has booted: it may ignore a signal before.
stop_rabbitmq() {
  await 20 rabbitmq_booted || true
  stop_process rabbitmq TERM "${1:-30}"
  stop_epmd
}

# The node starts its port mapper as a daemon that outlives it.
stop_epmd() {
  local pid
  for pid in $(pgrep_exe epmd); do
    if pid_is_ours "$pid" rabbitmq; then kill "$pid" 2>/dev/null || true; fi
  done
}

#!/usr/bin/env bash
# Finds used and free ports, and the process that uses a port.
# Reads /proc/net, so it needs no tools and opens no connections to other servers.

# Whether a process listens on this TCP port, on any address.
port_taken() {
  local hex
  hex=$(printf '%04X' "$1")
  if [[ -r /proc/net/tcp ]]; then
    grep -qsE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6
  else
    (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
  fi
}

# The preferred port if it is free, else a random free one of the next 1000.
# usage: pick_port PREFERRED [scatter]     "scatter" always picks a random port
pick_port() {
  local port=$1 attempt
  [[ ${2-} == scatter ]] && port=$(($1 + 1 + RANDOM % 1000))
  for ((attempt = 0; attempt < 200; attempt++)); do
    if ! port_taken "$port"; then
      printf '%s\n' "$port"
      return
    fi
    port=$(($1 + 1 + RANDOM % 1000))
  done
  die "No free port between $1 and $(($1 + 1000)). Stop a program that uses one of them."
}

# The inodes of the sockets that listen on a port, as /proc/PID/fd shows them.
port_inodes() {
  local hex
  hex=$(printf '%04X' "$1")
  sed -nE "s/^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A ([^ ]+ +){5}([0-9]+).*/\2/p" /proc/net/tcp /proc/net/tcp6 2>/dev/null
  return 0
}

# usage: port_held_by PORT PID
port_held_by() {
  local inode
  for inode in $(port_inodes "$1"); do
    [[ -n $(find "/proc/$2/fd" -lname "socket:\[$inode\]" -print -quit 2>/dev/null) ]] && return
  done
  return 1
}

# The process that listens on a port, such as "nginx (pid 4711)", or nothing if it is not visible.
port_holder() {
  local inode link pid
  for inode in $(port_inodes "$1"); do
    link=$(find /proc/[0-9]*/fd -maxdepth 1 -lname "socket:\[$inode\]" -print -quit 2>/dev/null) || true
    [[ -n $link ]] || continue
    pid=${link#/proc/}
    pid=${pid%%/*}
    printf '%s (pid %s)\n' "$(cat "/proc/$pid/comm" 2>/dev/null)" "$pid"
    return
  done
}

#!/usr/bin/env bash
# Installs missing packages of the distribution (Debian, Ubuntu) without starting or changing any of its servers.

# The services that a package's installation would enable.
package_services() {
  case $1 in
    rabbitmq-server) echo rabbitmq-server epmd.service epmd.socket ;;
    postgresql) echo postgresql ;;
    haproxy) echo haproxy ;;
  esac
}

# Whether the tools of a package are available, from whatever source.
provided() {
  case $1 in
    postgresql) find_postgres ;;
    rabbitmq-server) find_rabbitmq ;;
    postgresql-client) command -v psql >/dev/null ;;
    haproxy) [[ -x /usr/sbin/haproxy ]] || command -v haproxy >/dev/null ;;
    gcc) command -v cc >/dev/null ;;
    python3-venv) /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    libc6-dev) [[ -e /usr/include/stdio.h ]] ;;
    ca-certificates) [[ -s /etc/ssl/certs/ca-certificates.crt || -n ${SSL_CERT_FILE-} || -d /etc/pki/tls/certs ]] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  else
    sudo "$@"
  fi
}

# Installs the named packages that are missing.
install_packages() {
  local package missing=()
  for package in "$@"; do
    provided "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ! command -v apt-get >/dev/null; then
    die "This is not Debian or Ubuntu. Install these packages with your system's package manager and run this again: ${missing[*]}."
  fi
  if [[ $EUID -ne 0 ]]; then
    command -v sudo >/dev/null || die "These packages are missing, and sudo is not installed. As root, run: apt-get install ${missing[*]}"
    sudo -n true 2>/dev/null || [[ -t 0 ]] || die "These packages are missing, and sudo needs a password. Run: sudo apt-get install ${missing[*]}"
  fi
  say "Installing ${missing[*]} (from the distribution, with their services disabled)."
  apt_install "${missing[@]}"
  for package in "${missing[@]}"; do
    provided "$package" || die "The package $package is installed, but its programs were not found."
  done
}

# The packages' scripts would start their servers now and at every boot. During the installation, a policy file for
# invoke-rc.d and deb-systemd-invoke forbids that. Afterwards the new services are disabled.
apt_install() (
  policy=/usr/sbin/policy-rc.d
  log=$(mktemp)
  fresh=()
  for service in $(for package in "$@"; do package_services "$package"; done); do
    service_known "$service" || fresh+=("$service")
  done
  trap 'rm -f "$log"; [[ -z ${ours-} ]] || as_root rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM HUP
  if [[ ! -e $policy ]]; then
    ours=1
    as_root tee "$policy" >/dev/null <<'POLICY'
#!/bin/sh
# Written by Rollcall's deploy scripts for the duration of one installation.
case "$1" in rabbitmq-server* | postgresql* | epmd* | haproxy*) exit 101 ;; esac
exit 0
POLICY
    as_root chmod 755 "$policy"
  fi
  apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
  # If the package lists are missing or old, update them and retry.
  if ! as_root "${apt[@]}" install --no-install-recommends "$@" >"$log" 2>&1 </dev/null; then
    say "  Updating the package lists."
    as_root "${apt[@]}" update >"$log" 2>&1 </dev/null || true
    if ! as_root "${apt[@]}" install --no-install-recommends "$@" >>"$log" 2>&1 </dev/null; then
      die_with "$log" "apt-get failed to install $*; see its output above."
    fi
  fi
  for service in "${fresh[@]}"; do
    switch_off "$service"
  done
)

# Whether this service is already installed.
service_known() {
  local unit=$1
  [[ $unit == *.* ]] || unit=$unit.service
  [[ -e /etc/init.d/$1 || -e /lib/systemd/system/$unit || -e /etc/systemd/system/$unit ]]
}

# Disables a service. Stops it too, in case an existing policy file has allowed it to start.
switch_off() {
  if [[ -d /run/systemd/system ]]; then as_root systemctl stop "$1" >/dev/null 2>&1 || true; fi
  if command -v systemctl >/dev/null; then
    as_root systemctl disable "$1" >/dev/null 2>&1 || true
  else
    as_root update-rc.d "$1" disable >/dev/null 2>&1 || true
  fi
}

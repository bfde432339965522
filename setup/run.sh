# shellcheck shell=bash disable=SC2154  # the variables are set by setup.sh
# Run both processes in the foreground with one log, and leave nothing behind.
# Sourced by setup.sh; uses its say, fail, here, python, port, api_port.

# Both must have stopped this many tenths of a second after Ctrl-C; what has not is killed.
stop_tenths=45

# Plain bash, so that it works before anything is installed: a port that answers is taken.
check_port() {
  if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
    local hint=""
    if [ "$(uname -s)" = Darwin ] && [ "$1" = 5000 ]; then hint=" (on macOS, AirPlay Receiver uses it)"; fi
    fail "port $1 is in use$hint: stop what uses it, or choose another with $2 $(($1 + 1))"
  fi
}

# Gives each line of a process's log its name. Ends with the process, not with Ctrl-C.
prefixed() {
  local line
  trap '' INT TERM HUP
  while IFS= read -r line; do printf '%-9s | %s\n' "$1" "$line"; done
}

is_running() { kill -0 "$1" 2>/dev/null; }

stop_all() {
  local pid tenths=0
  trap '' INT TERM HUP
  say "" && say "stopping"
  for pid in "$chat_pid" "$server_pid"; do kill -TERM "$pid" 2>/dev/null || true; done
  while { is_running "$chat_pid" || is_running "$server_pid"; } && [ "$tenths" -lt "$stop_tenths" ]; do
    sleep 0.1
    tenths=$((tenths + 1))
  done
  for pid in "$chat_pid" "$server_pid"; do kill -KILL "$pid" 2>/dev/null || true; done
  wait
  say "stopped"
}

# What a person needs to know, once the page can be opened.
announce() {
  say ""
  say "  chat      http://localhost:$port"
  say "  API       http://localhost:$api_port/v1"
  say "  terminal  ./setup.sh chat$(if [ "$api_port" != 8000 ]; then echo " --url http://localhost:$api_port/v1"; fi)"
  say "  stop      Ctrl-C"
  say ""
}

start() {
  local status=0 told=no
  say ""
  set -m # each process in a group of its own, so that Ctrl-C reaches this script alone
  "$python" -m llmserver --port "$api_port" > >(prefixed llmserver) 2>&1 &
  server_pid=$!
  "$python" -m chatbot --port "$port" --url "http://127.0.0.1:$api_port/v1" > >(prefixed chatbot) 2>&1 &
  chat_pid=$!
  set +m
  trap 'stop_all; exit 0' INT TERM HUP
  while is_running "$server_pid" && is_running "$chat_pid"; do
    if [ "$told" = no ] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      announce
      told=yes
    fi
    sleep 0.3
  done
  if is_running "$server_pid"; then
    wait "$chat_pid" || status=$?
    say "the web chat ended with status $status"
  else
    wait "$server_pid" || status=$?
    say "the model server ended with status $status"
  fi
  stop_all
  exit "$((status == 0 ? 1 : status))"
}

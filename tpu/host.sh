#!/usr/bin/env bash
# Starts, watches and stops one run on this host. `jgpt2 launch vm` calls it on every host of a TPU.
#
# usage: host.sh run NAME -- ARGUMENT...   start `jgpt2 ARGUMENT...` in the background
#        host.sh status NAME               one line: HOST running | exit CODE | gone | none
#        host.sh logs NAME LINES           the last lines of its log
#        host.sh stop NAME                 SIGTERM: it saves its state and ends with 42
#        host.sh kill NAME                 SIGKILL
set -euo pipefail

action=$1
folder="$HOME/jgpt2-runs/$2"
shift 2

is_running() {
  [[ -f "$folder/pid" ]] && kill -0 "$(cat "$folder/pid")" 2>/dev/null
}

case $action in
  run)
    [[ ${1-} == -- ]] && shift
    if is_running; then
      echo "$(hostname): already running; stop it first" >&2
      exit 2
    fi
    mkdir -p "$folder"
    rm -f "$folder/exit" "$folder/pid"
    cd "$HOME/jgpt2"
    # shellcheck disable=SC2016 # the inner shell expands them, once the run has ended
    setsid nohup bash -c '
      folder=$1
      shift
      .venv/bin/python -m jgpt2 "$@" &
      echo $! >"$folder/pid"
      wait $! && code=0 || code=$?
      echo "$code" >"$folder/exit.part"
      mv "$folder/exit.part" "$folder/exit"
    ' run "$folder" "$@" >>"$folder/log" 2>&1 </dev/null &
    echo "$(hostname): started"
    ;;
  status)
    # Between the end of a run and the note of its exit code there is a moment.
    [[ -f "$folder/exit" ]] || is_running || sleep 1
    if [[ -f "$folder/exit" ]]; then
      echo "$(hostname) exit $(cat "$folder/exit")"
    elif is_running; then
      echo "$(hostname) running"
    elif [[ -f "$folder/pid" ]]; then
      echo "$(hostname) gone"
    else
      echo "$(hostname) none"
    fi
    ;;
  logs)
    tail -n "$1" "$folder/log" | sed "s/^/[$(hostname)] /"
    ;;
  stop)
    ! is_running || kill -TERM "$(cat "$folder/pid")"
    ;;
  kill)
    ! is_running || kill -KILL "$(cat "$folder/pid")"
    ;;
  *)
    echo "host.sh: no action $action" >&2
    exit 2
    ;;
esac

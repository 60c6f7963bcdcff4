#!/usr/bin/env bash
# Runs on each host of a TPU VM, in ~/strata: host.sh start COMMAND... | host.sh code | host.sh stop
#
#   start   starts the command in the background if none is running; logs to ~/strata-run/log
#   code    prints its exit code, "running", or "none" if it ended without a code
#   stop    sends TERM, then KILL after the grace it was started with; returns at once
set -euo pipefail
state=$HOME/strata-run

# The keeper outlives the command until its code is on disk.
is_running() { [[ -f $state/keeper && ! -f $state/code ]] && kill -0 "$(cat "$state/keeper")" 2>/dev/null; }

case ${1-} in
  start)
    shift
    (($#)) || { echo "host.sh: there is no command" >&2 && exit 2; }
    if is_running; then
      echo "host.sh: is running already" >&2
      exit 0
    fi
    mkdir -p "$state"
    rm -f "$state/code" "$state/pid" "$state/keeper"
    # shellcheck disable=SC2016  # expanded in the background
    PATH=$PWD/.venv/bin:$PATH nohup setsid bash -c '
      code=0
      echo $$ >"$0/keeper"
      "$@" &
      echo $! >"$0/pid"
      wait $! || code=$?
      echo "$code" >"$0/code.partial"
      mv "$0/code.partial" "$0/code"
    ' "$state" "$(dirname "$0")/../entry.sh" "$@" >>"$state/log" 2>&1 </dev/null &
    until [[ -s $state/pid ]]; do sleep 0.1; done
    ;;
  code)
    if is_running; then echo running; elif [[ -f $state/code ]]; then cat "$state/code"; else echo none; fi
    ;;
  stop) if is_running; then kill "$(cat "$state/pid")"; fi ;;
  -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" ;;
  *) echo "host.sh: start COMMAND..., code or stop, not '${1-}'" >&2 && exit 2 ;;
esac

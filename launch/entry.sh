#!/usr/bin/env bash
# Runs one process of a run, under every scheduler: launch/entry.sh COMMAND...
#
# Exits with the command's exit code. TERM and INT are passed on, followed by KILL after a grace
# period, because a process that waits for its peers may not react to TERM. Environment variables:
#   STRATA_GRACE        seconds from TERM to KILL (120)
#   STRATA_COORDINATOR  HOST:PORT of process 0: adds --coordinator_address, --num_processes (from
#                       STRATA_NUM_PROCESSES) and --process_id (from STRATA_PROCESS_ID, or else
#                       JOB_COMPLETION_INDEX) to the command, unless it is a command of strata other
#                       than train: those run in one process
#   STRATA_CODES        folder for the exit code, in a file named by the process's number
#   STRATA_XLA_FLAGS    flags to add to XLA_FLAGS; flags that this jaxlib does not know are left out
#   STRATA_SETTLE       seconds to wait before exiting with 1 or 134, the codes of a process whose
#                       peer died, so that a scheduler that acts on the first code sees the peer's (0)
set -euo pipefail

die() {
  echo "entry.sh: $*" >&2
  exit 2
}

case ${1-} in
  "") die "there is no command: entry.sh COMMAND..." ;;
  -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit 0 ;;
esac

grace=${STRATA_GRACE:-120}
settle=${STRATA_SETTLE:-0}
[[ $grace =~ ^[0-9]{1,6}$ ]] || die "STRATA_GRACE '$grace' is not a number of seconds"
[[ $settle =~ ^[0-9]{1,6}$ ]] || die "STRATA_SETTLE '$settle' is not a number of seconds"
number=${STRATA_PROCESS_ID:-${SLURM_PROCID:-${JOB_COMPLETION_INDEX:-0}}}

if [[ -n ${STRATA_COORDINATOR-} && ! (${1##*/} == strata && ${2-} != train) ]]; then
  [[ -n ${STRATA_NUM_PROCESSES-} ]] || die "STRATA_COORDINATOR is set, STRATA_NUM_PROCESSES is not"
  set -- "$@" "--coordinator_address=$STRATA_COORDINATOR" "--num_processes=$STRATA_NUM_PROCESSES" "--process_id=$number"
fi

# An unknown flag aborts jax on first use, with a dump of flags. The CPU backend knows the same flags.
known() {
  XLA_FLAGS="${XLA_FLAGS-} $*" JAX_PLATFORMS=cpu "${STRATA_PYTHON:-python3}" -c 'import jax; jax.devices()' >/dev/null 2>&1
}

if [[ -n ${STRATA_XLA_FLAGS-} ]]; then
  read -ra wanted <<<"$STRATA_XLA_FLAGS"
  kept=()
  if known "${wanted[@]}"; then
    kept=("${wanted[@]}")
  else
    for flag in "${wanted[@]}"; do
      if known "$flag"; then kept+=("$flag"); else echo "entry.sh: this jaxlib does not know $flag: left out" >&2; fi
    done
  fi
  export XLA_FLAGS="${XLA_FLAGS-} ${kept[*]-}"
fi

child=
early=
killer=
signalled=

# Called by the traps, once for each signal; a second signal changes nothing. A signal that arrives
# before this shell knows the command's process id is passed on as soon as it does.
# shellcheck disable=SC2329
pass_on() {
  signalled=1
  [[ -n $child ]] || { early=${early:-$1} && return 0; }
  [[ -z $killer ]] || return 0
  kill -s "$1" "$child" 2>/dev/null || true
  {
    trap 'kill $!; exit' TERM
    sleep "$grace" &
    wait $!
    echo "entry.sh: process $number is still there $grace s after $1: killed" >&2
    kill -KILL -- "-$child"
  } &
  killer=$!
}
trap 'pass_on TERM' TERM
trap 'pass_on INT' INT

# In a separate process group, KILL ends the command's data workers too, and a scheduler's signal
# arrives once, through this script.
set -m
"$@" </dev/null &
child=$!
set +m
if [[ -n $early ]]; then pass_on "$early"; fi

# A trap ends `wait` with the signal's code; waiting again gives the command's.
while :; do
  signalled=
  code=0
  wait "$child" 2>/dev/null || code=$?
  [[ -n $signalled ]] || break
done
if [[ -n $killer ]]; then kill "$killer" 2>/dev/null || true; fi

if [[ -n ${STRATA_CODES-} ]]; then
  mkdir -p "$STRATA_CODES"
  echo "$code" >"$STRATA_CODES/.$number"
  mv "$STRATA_CODES/.$number" "$STRATA_CODES/$number"
fi
if ((code == 1 || code == 134)); then sleep "$settle"; fi
exit "$code"

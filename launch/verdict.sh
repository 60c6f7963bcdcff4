# shellcheck shell=bash
# Decides what to do when a run's processes have ended; sourced. Implements the exit-code contract,
# and a limit on restarts without progress.
#
#     0                                     done
#     75 preempted after a save             again
#     70 hung, 1 or a signal (134, ...)     again, while restarts bring newer checkpoints
#     2 usage or config, 65 bad data or checkpoint, 76 diverged, 126 and 127 no such command, 130 interrupted   stop

# One process's failure makes its peers abort (134) or lose a connection (1), so the codes differ.
# The run's code is a fatal one, in the order above, if any process has one; then 70; then other
# crashes before the aborts they cause; 75 only if all others are 75 or 0.
_fatal="2 65 76 127 126 130"

# winner CODE...: prints the run's code.
winner() {
  local code rank best=0
  for code in "$@"; do
    rank=$(_rank "$code")
    if ((rank > $(_rank "$best"))); then best=$code; fi
  done
  echo "$best"
}

_rank() {
  local place=20 fatal
  case $1 in
    0) echo 0 && return ;;
    75) echo 1 && return ;;
    134) echo 2 && return ;;
    137 | 143) echo 3 && return ;;
    70) echo 5 && return ;;
  esac
  for fatal in $_fatal; do
    if [[ $1 == "$fatal" ]]; then echo "$place" && return; fi
    ((place--))
  done
  echo 4
}

# verdict CODE: prints done, again or stop.
verdict() {
  if [[ $1 == 0 ]]; then
    echo "done"
  elif [[ " $_fatal " == *" $1 "* ]]; then
    echo stop
  else
    echo again
  fi
}

# newest_step WORKDIR: prints the step of the newest complete checkpoint, or -1; fails if the folder
# cannot be read. Runs strata's own code, with $STRATA_PYTHON, the checkout's .venv or python3. Where
# its packages are not installed, lists a local folder, or a gs:// one with gcloud.
newest_step() {
  local root python said listed
  [[ -n $1 ]] || return 1 # a command without a workdir
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  python=${STRATA_PYTHON-}
  if [[ -z $python ]]; then
    python=$root/.venv/bin/python3
    [[ -x $python ]] || python=python3
  fi
  if said=$(PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} "$python" -m pipeline.training.checkpoints.newest_step "$1" 2>&1); then
    echo "$said"
    return
  fi
  if listed=$(_manifests "${1%/}"); then
    _largest_step <<<"$listed"
    return
  fi
  tail -n 1 <<<"$said" >&2
  return 1
}

# _manifests WORKDIR: prints lines .../STEP/manifest.json of its complete checkpoints.
_manifests() {
  local said
  case $1 in
    gs://*)
      command -v gcloud >/dev/null || return 1
      said=$(gcloud storage ls "$1/checkpoints/*/manifest.json" 2>&1) || grep -q "matched no objects" <<<"$said" || return 1
      echo "$said"
      ;;
    *://*) return 1 ;;
    *) printf '%s\n' "$1"/checkpoints/*/manifest.json ;;
  esac
}

_largest_step() {
  local line newest=-1
  while IFS= read -r line; do
    line=${line%/manifest.json}
    line=${line##*/}
    if [[ $line =~ ^[0-9]+$ ]] && ((10#$line > newest)); then newest=$((10#$line)); fi
  done
  echo "$newest"
}

# may_restart WORKDIR FILE LIMIT CODE: succeeds if a run that ended with CODE may start again, and
# prints why if not. FILE keeps the newest checkpoint's step and how many restarts in a row found
# it; preemptions do not count. A folder that cannot be read has brought no newer checkpoint.
may_restart() {
  local step before=-1 count=0
  if [[ -f $2 ]]; then read -r before count <"$2" || true; fi
  [[ $before =~ ^-?[0-9]+$ && $count =~ ^[0-9]+$ ]] || before=-1 count=0
  step=$(newest_step "$1") || step=$before
  if [[ $step != "$before" ]]; then count=0; fi
  if [[ $4 != 75 ]]; then ((++count)); fi
  if ((count > $3)); then
    echo "not started again: $3 restarts in a row brought no checkpoint newer than step $step ($2 keeps count)"
    return 1
  fi
  mkdir -p "$(dirname "$2")" && echo "$step $count" >"$2"
}

#!/usr/bin/env bash
# Runs a command on this machine as N processes with M host devices each, joined over gloo:
#
#   launch/local/run.sh -n 4 -d 2 -- strata train --config configs/quickstart/digits.py --workdir runs/four
#   launch/local/run.sh -n 4 --config F[:ARG] --workdir D [FLAGS] [-- FLAGS OF strata train]
#   launch/local/run.sh [FLAGS] -- PROGRAM ...
#
#   -n, --processes N   processes (1)
#   -d, --devices M     host devices per process (1)
#   --port P            port of process 0 (a free one)
#   --grace S           seconds from TERM to KILL, and from one process's failure to the end of the others (60)
#   --config F[:ARG]    as for strata train
#   --restarts R        limit of restarts in a row without a newer checkpoint (0: never restart;
#                       needs a --workdir, here or in the command)
#   --workdir D         the run's folder, to find checkpoints; D.launch counts restarts, or a temporary
#                       folder if D is in a bucket
#   --dry-run           prints the commands
#
# Each line of output is prefixed with its process. TERM and INT go to all. The exit code is that of
# the process at fault: see launch/verdict.sh. Set JAX_PLATFORMS on a machine with accelerators;
# without it the CPU is used.
set -euo pipefail
# shellcheck source=launch/flags.sh
source "$(dirname "$0")/../flags.sh"
# shellcheck source=launch/command.sh
source "$launch/command.sh"
# shellcheck source=launch/verdict.sh
source "$launch/verdict.sh"

processes=1 devices=1 port='' grace=60 restarts=0 workdir=''
# shellcheck disable=SC2034
short_n=processes short_d=devices
parse_flags "processes devices port grace restarts config workdir" "dry_run" "$@"
positive processes devices
natural grace restarts
((processes <= 256)) || die "--processes $processes: more than 256 on one machine"
if is_given port; then
  positive port
  ((port < 65536)) || die "--port $port is no port: they end at 65535"
fi
if ((${#extra[@]})) && [[ ${extra[0]} != -* && ${extra[0]} != strata ]]; then
  ! is_given config || die "--config is for strata train, not for ${extra[0]}"
  command=("${extra[@]}")
else
  ((${#extra[@]})) || is_given config || is_given workdir || die "there is no command: run.sh -n N -- strata COMMAND ..."
  read_command
  one_process_unless_train "$processes"
  [[ -z $config ]] || recipe_exists
fi
((restarts == 0)) || [[ -n $workdir ]] || die "--restarts needs --workdir"
((dry_run)) || command -v "${command[0]}" >/dev/null || die "there is no command ${command[0]}"

# Prints a free port, below the range from which the system assigns ports.
free_port() {
  local candidate
  while :; do
    candidate=$((20000 + RANDOM % 10000))
    (: <"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || break
  done
  echo "$candidate"
}

export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
export XLA_FLAGS="${XLA_FLAGS:+$XLA_FLAGS }--xla_force_host_platform_device_count=$devices"
export STRATA_GRACE=$grace STRATA_NUM_PROCESSES=$processes
unset STRATA_CODES STRATA_SETTLE

if ((dry_run)); then
  for ((i = 0; i < processes; i++)); do
    words env "JAX_PLATFORMS=$JAX_PLATFORMS" "XLA_FLAGS=$XLA_FLAGS" "STRATA_GRACE=$grace" \
      "STRATA_NUM_PROCESSES=$processes" "STRATA_PROCESS_ID=$i" "STRATA_COORDINATOR=127.0.0.1:${port:-PORT}" \
      "$launch/entry.sh" "${command[@]}"
  done
  exit 0
fi

signalled=
pids=()
tell_all() {
  local pid
  signalled=$1
  for pid in "${pids[@]-}"; do
    if [[ -n $pid ]]; then kill -s "$1" "$pid" 2>/dev/null || true; fi
  done
}
trap 'tell_all TERM' TERM
trap 'tell_all INT' INT

# Starts the processes and waits for all; sets $code to the run's code.
run_once() {
  local codes=() i left=$processes deadline=0 status
  STRATA_COORDINATOR=127.0.0.1:${port:-$(free_port)}
  export STRATA_COORDINATOR
  pids=()
  set -m # without it the processes would ignore INT
  for ((i = 0; i < processes; i++)); do
    STRATA_PROCESS_ID=$i "$launch/entry.sh" "${command[@]}" \
      > >(trap '' INT TERM && exec sed -u "s/^/[$i] /") 2> >(trap '' INT TERM && exec sed -u "s/^/[$i] /" >&2) &
    pids+=($!)
  done
  set +m
  while ((left)); do
    sleep 0.1 || true
    for ((i = 0; i < processes; i++)); do
      if [[ -z ${pids[i]} ]] || kill -0 "${pids[i]}" 2>/dev/null; then continue; fi
      status=0
      wait "${pids[i]}" 2>/dev/null || status=$?
      pids[i]=
      codes+=("$status")
      ((left -= 1)) || true
      if ((status != 0 && status != 75 && deadline == 0)); then deadline=$((SECONDS + grace)); fi
    done
    # The others may wait for the process that ended: minutes at startup, forever in a collective.
    if ((left && deadline && SECONDS >= deadline)); then
      tell_all TERM
      deadline=0
    fi
  done
  code=$(winner "${codes[@]}")
}

counts=$workdir.launch
if [[ $workdir == *://* ]]; then
  counts=$(mktemp -d)
  trap 'rm -rf "$counts"' EXIT
fi
[[ -z $workdir ]] || rm -f "$counts/restarts"
while :; do
  run_once
  [[ $(verdict "$code") == again && $restarts != 0 && -z $signalled ]] || break
  why=$(may_restart "$workdir" "$counts/restarts" "$restarts" "$code") || { echo "run.sh: $why" >&2 && break; }
  echo "run.sh: ended with $code, starting again" >&2
done
exit "$code"

# shellcheck shell=bash
# The body of a batch script, sourced on a job's first node: runs the processes as one step, passes
# TERM on to them, and requeues the job if the exit codes allow. slurm/submit.sh sets:
#   srun=(...) command=(...)  the step
#   workdir (empty for a command without one), logs, max_restarts, launch, and STRATA_GRACE in the
#   environment
set -uo pipefail
: "${workdir?}" "${logs:?}" "${max_restarts:?}"
# shellcheck source=launch/verdict.sh
source "${launch:?}/verdict.sh"

export STRATA_CODES=$logs/codes-$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}
mkdir -p "$STRATA_CODES"
[[ -n ${SLURM_RESTART_COUNT-} ]] || rm -f "$logs/restarts" # a new job starts counting at 0
say() { echo "$(date +%FT%T) attempt ${SLURM_RESTART_COUNT:-0}: $*"; }

signalled=
messenger=

# TERM comes before the time limit and on preemption. It is repeated, because the processes may
# still be starting; they react to the first one only. After the grace each is killed by its
# entry.sh, and after that the step.
# shellcheck disable=SC2329
pass_on() {
  signalled=1
  [[ -z $messenger ]] || return 0
  say "TERM: passed on"
  {
    trap 'kill $!; exit' TERM
    for ((waited = 0; waited < STRATA_GRACE + 30; waited += 10)); do
      scancel --signal=TERM "$SLURM_JOB_ID" # to the steps, not to this script
      sleep 10 &
      wait $!
    done
    scancel "$SLURM_JOB_ID.0"
  } &
  messenger=$!
}
trap pass_on TERM

# shellcheck disable=SC2154
say "on $SLURM_JOB_NODELIST: ${command[*]}"
# shellcheck disable=SC2154
"${srun[@]}" "${command[@]}" &
step=$!
while :; do
  signalled=
  srun_code=0
  wait "$step" || srun_code=$?
  [[ -n $signalled ]] || break
done
if [[ -n $messenger ]]; then kill "$messenger" 2>/dev/null; fi
trap '' TERM

# srun exits with the largest code of its tasks, which need not be the run's.
codes=$(cat "$STRATA_CODES"/* 2>/dev/null)
missing=$((SLURM_NTASKS - $(wc -w <<<"$codes")))
if ((missing > 0)); then codes+=" $((srun_code ? srun_code : 137))"; fi
# shellcheck disable=SC2086  # words
code=$(winner $codes)
case $(verdict "$code") in
  done) say "done" ;;
  stop) say "ended with $code: not started again" ;;
  again)
    if why=$(may_restart "$workdir" "$logs/restarts" "$max_restarts" "$code"); then
      if scontrol requeue "$SLURM_JOB_ID"; then
        say "ended with $code: requeued"
        exit "$code"
      fi
      say "ended with $code: cannot be requeued"
    else
      say "ended with $code: $why"
    fi
    ;;
esac
exit "$code"

#!/usr/bin/env bash
# Keeps a run going on a TPU VM: creates it, sets it up, starts the run, and does so again whenever it is taken away or
# the run was preempted, hung or crashed. Ends with the run's exit code, and leaves the TPU VM for you to delete.
#
#   launch/tpu_vm/babysit.sh --name N --zone Z --type v5p-128 --config F[:ARG] --workdir gs://BUCKET/D [FLAGS] \
#       [-- FLAGS OF strata train]
#
#   --type, --version, --spot, --python, --grace, --project   as for create.sh, setup.sh and run.sh
#   --interval S      seconds between looks (60)
#   --max-restarts R  restarts in a row that bring no newer checkpoint, after which it gives up (3)
#   --dry-run         prints what it would do where there is no TPU VM yet
set -euo pipefail
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "$0")/common.sh"
# shellcheck source=launch/verdict.sh
source "$launch/verdict.sh"

type='' version='' spot='' python='' workdir='' grace=120 interval=60 max_restarts=3
parse_flags "$tpu_flags type version python config workdir grace interval max_restarts" "spot dry_run" "$@"
required type config workdir
check_tpu
recipe_is_here
natural grace max_restarts
positive interval

here=$launch/tpu_vm
which=("--name=$name" "--zone=$zone" ${project:+"--project=$project"})
((!dry_run)) || which+=(--dry-run)
create() { "$here/create.sh" "${which[@]}" "--type=$type" ${version:+"--version=$version"} ${spot:+--spot}; }
setup() { "$here/setup.sh" "${which[@]}" ${python:+"--python=$python"}; }
run() {
  "$here/run.sh" "${which[@]}" "--config=$config" "--workdir=$workdir" "--grace=$grace" -- ${extra[@]+"${extra[@]}"}
}
say() { echo "$(date +%FT%T) babysit.sh: $*" >&2; }

if ((dry_run)); then
  create && setup && run
  exit
fi

counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT

# READY, another state, ABSENT, or UNKNOWN where gcloud itself failed.
state() {
  local said
  if said=$(tpu describe "--format=value(state)" 2>&1); then
    echo "$said" | tail -n 1
  elif grep -qi -e NOT_FOUND -e "not found" <<<"$said"; then
    echo ABSENT
  else
    say "describe failed: $(tail -n 1 <<<"$said")"
    echo UNKNOWN
  fi
}

# What all hosts say, as words: codes, running, none.
answers() { on_all "cd strata && launch/tpu_vm/host.sh code" 2>/dev/null | grep -xE '[0-9]+|running|none' || true; }

# Whether this TPU VM is prepared, and the run on it ours to judge: what an older one left behind is not.
ours=
while :; do
  found=$(state)
  case $found in
    READY) ;;
    CREATING | STARTING | RESTARTING | REPAIRING | REIMAGING | UNKNOWN)
      sleep "$interval"
      continue
      ;;
    *)
      ours=
      if [[ $found != ABSENT ]]; then
        say "the TPU VM is $found: deleted and created again"
        tpu delete --quiet || true
      fi
      create || { say "not created; trying again in $interval s" && sleep "$interval"; }
      continue
      ;;
  esac
  said=$(answers)
  if [[ $said =~ running ]]; then
    ours=1
  elif [[ -z $ours ]]; then
    if setup && run; then ours=1; else say "not started; trying again in $interval s"; fi
  elif [[ -n $said ]]; then
    # All hosts have left: their codes decide. A host without one was rebooted, which is no more than a crash.
    # shellcheck disable=SC2086  # words
    code=$(winner ${said//none/137})
    case $(verdict "$code") in
      done) say "done" && exit 0 ;;
      stop) say "ended with $code: not started again" && exit "$code" ;;
    esac
    why=$(may_restart "$workdir" "$counts/restarts" "$max_restarts" "$code") || { say "ended with $code: $why" && exit "$code"; }
    say "ended with $code: started again"
    run || ours=
  fi
  sleep "$interval"
done

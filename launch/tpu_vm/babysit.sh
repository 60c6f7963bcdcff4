#!/usr/bin/env bash
# Keeps a run going on a TPU VM: creates it, sets it up and starts the run, and repeats what is needed
# when the TPU VM is lost or the run is preempted, hangs or crashes. Exits with the run's exit code,
# and leaves it to you to delete the TPU VM.
#
#   launch/tpu_vm/babysit.sh --name N --zone Z --type v5p-128 --config F[:ARG] --workdir gs://BUCKET/D [FLAGS] \
#       [-- FLAGS OF strata train]
#   launch/tpu_vm/babysit.sh --name N --zone Z --type v5p-8 [FLAGS] -- strata COMMAND ...
#
#   --type, --version, --service-account, --spot, --python, --grace, --project
#                     as for create.sh, setup.sh and run.sh
#   --interval S      seconds between checks (60)
#   --max-restarts R  limit of restarts in a row without a newer checkpoint (3)
#   --dry-run         prints what it would do if there were no TPU VM yet
set -euo pipefail
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "$0")/common.sh"
# shellcheck source=launch/verdict.sh
source "$launch/verdict.sh"

type='' version='' service_account='' spot='' python='' workdir='' grace=120 interval=60 max_restarts=3
parse_flags "$tpu_flags type version service_account python config workdir grace interval max_restarts" "spot dry_run" "$@"
required type
read_command
check_tpu
recipe_is_here
natural grace max_restarts
positive interval
[[ $type == TYPE ]] || one_process_unless_train "$(hosts_of "$type")"

here=$launch/tpu_vm
which=("--name=$name" "--zone=$zone" ${project:+"--project=$project"})
((!dry_run)) || which+=(--dry-run)
create() {
  "$here/create.sh" "${which[@]}" "--type=$type" ${version:+"--version=$version"} \
    ${service_account:+"--service-account=$service_account"} ${spot:+--spot}
}
setup() { "$here/setup.sh" "${which[@]}" ${python:+"--python=$python"}; }
run() {
  "$here/run.sh" "${which[@]}" "--grace=$grace" -- "${command[@]}"
}
say() { echo "$(date +%FT%T) babysit.sh: $*" >&2; }

if ((dry_run)); then
  create && setup && run
  exit
fi

counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT

# Prints READY, another state, ABSENT, or UNKNOWN if gcloud failed.
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

# Prints one word for each host: its code, running or none.
answers() { on_all "cd strata && launch/tpu_vm/host.sh code" 2>/dev/null | grep -xE '[0-9]+|running|none' || true; }

# Whether this TPU VM is set up and its run started by this script: an older run is not judged.
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
    # All hosts have ended: their codes decide. A host without a code was rebooted: count a crash.
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

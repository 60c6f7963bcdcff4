#!/usr/bin/env bash
# Submits a run through xpk, which creates the JobSet on a cluster that xpk manages.
#
#   launch/xpk/submit.sh --cluster C --tpu-type v5p-128 --slices 2 --workload NAME --image IMAGE \
#       --config F[:ARG] --workdir gs://BUCKET/D [FLAGS] [-- FLAGS OF strata train]
#   launch/xpk/submit.sh --cluster C --tpu-type T --workload NAME --image IMAGE [FLAGS] -- strata COMMAND ...
#
#   --config F[:ARG], --workdir D   as for strata train, as paths in the image
#   --image IMAGE          has strata on its PATH, and launch/entry.sh at --entry (/strata/launch/entry.sh)
#   --tpu-type T           e.g. v5p-128, v6e-256;  --slices N: number of slices (1)
#   --device-type T        instead of --tpu-type, for GPUs, e.g. h100-80gb-8;  --nodes N: number of nodes (1)
#   --project P, --zone Z  of the cluster (gcloud's own)
#   --priority P           very-low, low, medium, high or very-high (medium)
#   --grace S              seconds between TERM and KILL: longer than a step and a save (300); the pod gets 30 more
#   --max-restarts R       total restarts (50)
#   --dry-run              prints the command instead of running it
set -euo pipefail
# shellcheck source=launch/flags.sh
source "$(dirname "$0")/../flags.sh"
# shellcheck source=launch/command.sh
source "$launch/command.sh"

cluster='' workload='' image='' entry=/strata/launch/entry.sh workdir='' tpu_type='' slices=1 device_type='' nodes=1
project='' zone='' priority=medium grace=300 max_restarts=50
parse_flags "cluster workload image entry config workdir tpu_type slices device_type nodes project zone priority grace \
  max_restarts" "dry_run" "$@"
required cluster workload image
read_command
[[ -z $tpu_type || -z $device_type ]] || die "--tpu-type and --device-type: one of them"
[[ -n $device_type ]] || required tpu_type
positive slices nodes grace
natural max_restarts
one_of priority very-low low medium high very-high
name='[a-z]([-a-z0-9]{0,38}[a-z0-9])?'
[[ $cluster == CLUSTER ]] || matches cluster "$name" "a cluster's name (small letters, digits and -, up to 40)"
[[ $workload == WORKLOAD ]] || matches workload "$name" "a workload's name (small letters, digits and -, up to 40)"
[[ $tpu_type == TPU_TYPE || -z $tpu_type ]] || matches tpu_type '[a-z0-9][-a-z0-9.]*' "a type of TPU such as v5p-128"
[[ -z $device_type ]] || matches device_type '[a-z0-9][-a-z0-9.]*' "a type of machine such as h100-80gb-8"
matches image '[A-Za-z0-9_./:@-]+' "an image"
if [[ -n $device_type ]]; then
  ! is_given slices || die "--slices is for --tpu-type"
  size=("--device-type=$device_type" "--num-nodes=$nodes")
else
  ! is_given nodes || die "--nodes is for --device-type"
  size=("--tpu-type=$tpu_type" "--num-slices=$slices")
fi

one_process_unless_train $((slices * nodes))
[[ -n $device_type ]] || one_process_unless_train "$(hosts_of "$tpu_type")"

needs_program xpk
# xpk restarts on 42 and 127 to 255. Its pods run the command in a shell: use exec, so that TERM
# reaches it.
act xpk workload create "--cluster=$cluster" "--workload=$workload" "${size[@]}" "--docker-image=$image" \
  ${project:+"--project=$project"} ${zone:+"--zone=$zone"} "--priority=$priority" "--max-restarts=$max_restarts" \
  --restart-on-exit-codes=1,70,75 "--termination-grace-period-seconds=$((grace + 30))" \
  "--env=STRATA_GRACE=$grace" --env=STRATA_SETTLE=15 \
  "--command=exec $(words "$entry" "${command[@]}")"

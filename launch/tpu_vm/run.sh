#!/usr/bin/env bash
# Starts a run in the background on every host of a TPU VM that setup.sh has prepared, and returns.
#
#   launch/tpu_vm/run.sh --name N --zone Z --config F[:ARG] --workdir gs://BUCKET/D [FLAGS] [-- FLAGS OF strata train]
#   launch/tpu_vm/run.sh --name N --zone Z [FLAGS] -- strata COMMAND ...
#
#   --config F[:ARG]  a recipe of the checkout, e.g. configs/vdvae/imagenet64.py
#   --workdir D       a folder that all hosts see
#   --grace S         seconds from TERM to KILL (120)
#   --project P       (gcloud's own)
#   --dry-run         prints the command
#
# Another command than strata train runs on host 0 only. logs.sh shows the output. Starts nothing on
# hosts where it is already running. babysit.sh does all of this for you.
set -euo pipefail
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "$0")/common.sh"

workdir='' grace=120
parse_flags "$tpu_flags config workdir grace" "dry_run" "$@"
read_command
check_tpu
recipe_is_here
natural grace
where=all
[[ ${command[1]} == train ]] || where=0
tpu ssh "--worker=$where" "--command=cd strata && STRATA_GRACE=$grace launch/tpu_vm/host.sh start \
$(words "${command[@]}")"

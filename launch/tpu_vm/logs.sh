#!/usr/bin/env bash
# Follows a run's output on one host of a TPU VM.
#
#   launch/tpu_vm/logs.sh --name N --zone Z [--host H] [--lines L]
#
#   --host H          the host (0)
#   --lines L         number of past lines to print first (100)
#   --no-follow       prints the past lines only
#   --project P       (gcloud's own)
#   --dry-run         prints the command
set -euo pipefail
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "$0")/common.sh"

host=0 lines=100 no_follow=''
parse_flags "$tpu_flags host lines" "no_follow dry_run" "$@"
check_tpu
natural host lines
follow=-F
[[ -z $no_follow ]] || follow=
tpu ssh "--worker=$host" "--command=tail -n $lines $follow strata-run/log"

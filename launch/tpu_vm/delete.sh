#!/usr/bin/env bash
# Stops a run with TERM, so that it saves, then deletes its TPU VM.
#
#   launch/tpu_vm/delete.sh --name N --zone Z
#
#   --wait S          seconds to wait for the save (120); 0 deletes at once
#   --project P       (gcloud's own)
#   --dry-run         prints the commands
set -euo pipefail
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "$0")/common.sh"

wait=120
parse_flags "$tpu_flags wait" "dry_run" "$@"
check_tpu
natural wait
if ((wait)); then
  on_all "cd strata && launch/tpu_vm/host.sh stop; for i in \$(seq $wait); do \
[ \"\$(launch/tpu_vm/host.sh code)\" = running ] || break; sleep 1; done" || echo "delete.sh: no host answered" >&2
fi
tpu delete --quiet

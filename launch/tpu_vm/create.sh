#!/usr/bin/env bash
# Creates a TPU VM of one or more hosts.
#
#   launch/tpu_vm/create.sh --name N --zone Z --type v5p-128 [FLAGS]
#
#   --type T          accelerator type, e.g. v5litepod-16, v5p-128, v6e-64
#   --version V       software image (v2-alpha-tpuv5 for v5p, v2-alpha-tpuv5-lite for v5e, v2-alpha-tpuv6e for v6e)
#   --service-account A   account of the hosts, by its email address, e.g. to reach a bucket (Compute Engine's)
#   --project P       (gcloud's own)
#   --spot            cheaper, and may be preempted at any time
#   --dry-run         prints the command
set -euo pipefail
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "$0")/common.sh"

type='' version='' service_account='' spot=''
parse_flags "$tpu_flags type version service_account" "spot dry_run" "$@"
required type
check_tpu
[[ $type == TYPE ]] || matches type 'v[0-9]+[a-z]*-[0-9]+' "a type such as v5p-128"
if [[ -z $version ]]; then
  case $type in
    v5litepod-*) version=v2-alpha-tpuv5-lite ;;
    v5p-*) version=v2-alpha-tpuv5 ;;
    v6e-*) version=v2-alpha-tpuv6e ;;
    *) version=tpu-ubuntu2204-base ;;
  esac
fi
matches version '[a-z0-9][-a-z0-9.]*' "a software image"
! is_given service_account || matches service_account '[-A-Za-z0-9._:]+@[-A-Za-z0-9.]+' "an account's email address"
tpu create "--accelerator-type=$type" "--version=$version" ${service_account:+"--service-account=$service_account"} \
  ${service_account:+--scopes=cloud-platform} ${spot:+--spot}

#!/usr/bin/env bash
# Copies this checkout to every host of a TPU VM and installs it there, in ~/strata/.venv.
#
#   launch/tpu_vm/setup.sh --name N --zone Z [FLAGS]
#
#   --python P        Python 3.11 or newer on the hosts, installed with apt-get if missing (python3.11)
#   --project P       (gcloud's own)
#   --dry-run         prints the commands
#
# Copies the files that git tracks, as they are in the working tree.
set -euo pipefail
# shellcheck source=launch/tpu_vm/common.sh
source "$(dirname "$0")/common.sh"

python=python3.11
parse_flags "$tpu_flags python" "dry_run" "$@"
check_tpu
matches python 'python3\.(1[1-9]|[2-9][0-9])' "Python 3.11 or newer, such as python3.11"

root=$(dirname "$launch")
archive=strata.tar.gz
if ((!dry_run)); then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  archive=$folder/strata.tar.gz
  git -C "$root" ls-files -z | tar -C "$root" --null --files-from=- -czf "$archive"
fi
act gcloud compute tpus tpu-vm scp "$archive" "$name:strata.tar.gz" "--zone=$zone" ${project:+"--project=$project"} --worker=all
on_all "set -e; command -v $python || sudo apt-get install -y $python $python-venv; mkdir -p strata; \
tar -C strata -xzf strata.tar.gz; cd strata; [ -d .venv ] || $python -m venv .venv; \
.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[tpu,gcs]'"

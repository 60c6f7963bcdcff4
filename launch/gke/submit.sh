#!/usr/bin/env bash
# Submits a run to Kubernetes as a JobSet, which restarts and resumes after preemption, hang or crash.
#
#   launch/gke/submit.sh --kind tpu --accelerator tpu-v5p-slice --topology 4x4x4 --slices 2 \
#       --name NAME --image IMAGE --config F[:ARG] --workdir gs://BUCKET/D [FLAGS] [-- FLAGS OF strata train]
#   launch/gke/submit.sh --kind gpu --accelerator nvidia-h100-80gb --nodes 8 --gpus-per-node 8 ...
#   launch/gke/submit.sh --kind gpu --nodes 1 --name NAME --image IMAGE --accelerator A [FLAGS] -- strata COMMAND ...
#   launch/gke/submit.sh --kind rbac [--namespace N]
#
#   --config F[:ARG], --workdir D   as for strata train, as paths in the image; all pods must see D
#   --image IMAGE          has strata on its PATH, and launch/entry.sh at --entry (/strata/launch/entry.sh)
#   --topology T           of a TPU slice, in chips, e.g. 4x4x4;  --slices N: slices (1);  --chips-per-host C (4)
#   --nodes N              GPU nodes (1);  --gpus-per-node G (8)
#   --name J               the JobSet's name: small letters, digits and -, up to 40
#   --namespace N          (default)
#   --queue Q              Kueue's LocalQueue
#   --grace S              seconds between TERM and KILL: longer than a step and a save (300); the pod gets 30 more
#   --max-restarts R       total restarts, preemptions included: Kubernetes does not see progress (50)
#   --volume CLAIM:PATH    a PersistentVolumeClaim, mounted at PATH
#   --service-account A    service account of the pods
#   --host-network         pods use their nodes' network, which is faster
#   --spot                 on spot nodes
#   --dry-run              prints the manifest instead of applying it
set -euo pipefail
# shellcheck source=launch/flags.sh
source "$(dirname "$0")/../flags.sh"
# shellcheck source=launch/yaml.sh
source "$launch/yaml.sh"
# shellcheck source=launch/command.sh
source "$launch/command.sh"

kind='' accelerator='' topology='' slices=1 chips_per_host=4 nodes=1 gpus_per_node=8 name='' namespace=default image=''
entry=/strata/launch/entry.sh workdir='' queue='' grace=300 max_restarts=50 volume='' service_account='' host_network=''
spot=''
parse_flags "kind accelerator topology slices chips_per_host nodes gpus_per_node name namespace image entry config workdir \
  queue grace max_restarts volume service_account" "host_network spot dry_run" "$@"

dns='[a-z]([-a-z0-9]{0,38}[a-z0-9])?'
only_for() {
  local flag
  for flag in "${@:2}"; do ! is_given "$flag" || [[ $kind == "$1" ]] || die "--${flag//_/-} is for --kind $1"; done
}

[[ -n $kind ]] || die "--kind is missing: tpu, gpu or rbac"
one_of kind tpu gpu rbac
only_for tpu topology slices chips_per_host
only_for gpu nodes gpus_per_node
matches namespace '[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?' "a namespace (small letters, digits, -)"
if [[ $kind != rbac ]]; then
  required name image accelerator
  read_command
  [[ $kind == gpu ]] || required topology
  positive slices chips_per_host nodes gpus_per_node grace
  natural max_restarts
  [[ $name == NAME ]] || matches name "$dns" "a JobSet's name (small letters, digits and -, up to 40)"
  [[ $accelerator == ACCELERATOR ]] || matches accelerator '[a-z0-9]([-a-z0-9]*[a-z0-9])?' "an accelerator's name"
  [[ $topology == TOPOLOGY || -z $topology ]] || matches topology '[1-9][0-9]*(x[1-9][0-9]*){1,2}' "a topology such as 4x4x4"
  matches image '[A-Za-z0-9_./:@-]+' "an image"
  matches entry '/.*' "an absolute path in the image"
  ! is_given queue || matches queue "$dns" "a queue's name"
  ! is_given service_account || matches service_account "$dns" "a service account's name"
  ! is_given volume || matches volume "$dns:/[^:]+" "CLAIM:PATH"
fi

# Number of hosts of a slice: the product of its topology over the chips of a host.
hosts() {
  local chips=1 side
  for side in ${topology//x/ }; do ((chips *= side)); done
  ((chips % chips_per_host == 0)) || die "--topology $topology has $chips chips, not a multiple of --chips-per-host $chips_per_host"
  HOSTS=$((chips / chips_per_host))
}

# The templates' variables.
# shellcheck disable=SC2034
prepare() {
  NAME=$(quoted "$name") NAMESPACE=$(quoted "$namespace") IMAGE=$(quoted "$image") SLICES=$slices
  ACCELERATOR=$(quoted "$accelerator") TOPOLOGY=$(quoted "$topology")
  CHIPS_PER_HOST=$chips_per_host NODES=$nodes GPUS_PER_NODE=$gpus_per_node MAX_RESTARTS=$max_restarts
  HOSTS=1 GRACE=$(quoted "$grace") POD_GRACE=$((grace + 30)) PROCESSES=$(quoted "$nodes")
  # Exit codes that launch/verdict.sh does not restart.
  FATAL_CODES="[2, 65, 76, 126, 127, 130]"
  # The name that JobSet gives pod 0 of the replicated job `node` in its headless service.
  COORDINATOR=$(quoted "$name-node-0-0.$name:8476")
  COMMAND=$(list "$entry" ${command[@]+"${command[@]}"})
  LABELS=${queue:+labels:$'\n'  kueue.x-k8s.io/queue-name: $(quoted "$queue")}
  NETWORK=${host_network:+hostNetwork: true$'\n'dnsPolicy: ClusterFirstWithHostNet}
  SERVICE_ACCOUNT=${service_account:+serviceAccountName: $(quoted "$service_account")}
  NODE_SELECTOR=${spot:+'cloud.google.com/gke-spot: "true"'}
  TOLERATIONS=${spot:+- key: cloud.google.com/gke-spot$'\n'  operator: Exists}
  local claim=${volume%%:*} path=${volume#*:}
  VOLUME_MOUNT=${volume:+- name: work$'\n'  mountPath: $(quoted "$path")}
  VOLUME=${volume:+- name: work$'\n'  persistentVolumeClaim:$'\n'    claimName: $(quoted "$claim")}
  VOLUME_MOUNTS=${volume:+volumeMounts:$'\n'  ${VOLUME_MOUNT//$'\n'/$'\n  '}}
  VOLUMES=${volume:+volumes:$'\n'  ${VOLUME//$'\n'/$'\n  '}}
  [[ $kind != tpu || $topology == TOPOLOGY ]] || hosts
}

prepare
case $kind in
  rbac) template=$launch/gke/rbac.yaml ;;
  tpu) one_process_unless_train $((HOSTS * slices)) && template=$launch/gke/jobset_tpu.yaml ;;
  gpu) one_process_unless_train "$nodes" && template=$launch/gke/jobset_gpu.yaml ;;
esac
if ((dry_run)); then
  fill "$template"
else
  needs_program kubectl
  fill "$template" | kubectl apply -f -
fi

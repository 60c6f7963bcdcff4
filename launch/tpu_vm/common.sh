# shellcheck shell=bash
# Shared by the scripts of tpu_vm/: the flags that select a TPU VM, and gcloud; sourced.
# shellcheck source=launch/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/../flags.sh"
# shellcheck source=launch/command.sh
source "$launch/command.sh"

name='' zone='' project=''
# shellcheck disable=SC2034
tpu_flags="name zone project"

check_tpu() {
  required name zone
  [[ $name == NAME ]] || matches name '[a-z]([-a-z0-9]{0,60}[a-z0-9])?' "a TPU VM's name (small letters, digits and -)"
  [[ $zone == ZONE ]] || matches zone '[a-z]+-[a-z]+[0-9]+-[a-z]' "a zone such as us-east5-a"
  ! is_given project || matches project '[a-z][-a-z0-9:.]*' "a project"
  needs_program gcloud
}

# The recipe must be in the checkout that setup.sh copies.
recipe_is_here() {
  [[ -z $config || $config == CONFIG || -f $(dirname "$launch")/${config%:*} ]] ||
    die "--config $config: there is no file ${config%:*} in this checkout"
}

# tpu VERB WORDS...: runs a gcloud command on this TPU VM.
tpu() { act gcloud compute tpus tpu-vm "$1" "$name" "--zone=$zone" ${project:+"--project=$project"} "${@:2}"; }

on_all() { tpu ssh --worker=all "--command=$1"; }

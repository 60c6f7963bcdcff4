#!/usr/bin/env bash
# Submits a run to SLURM, requeued and resumed after preemption, hang or crash.
#
#   launch/slurm/submit.sh --nodes 8 --gpus-per-node 8 --config F[:ARG] --workdir D [FLAGS] [-- FLAGS OF strata train]
#   launch/slurm/submit.sh [FLAGS] -- strata COMMAND ...
#
#   --config F[:ARG], --workdir D   as for strata train; D in a bucket, or on a file system that all nodes share
#   --nodes N              nodes (1)
#   --gpus-per-node G      GPUs per node (0)
#   --tasks-per-node T     processes per node: 1, or one per GPU (1)
#   --cpus-per-task C      CPU cores per process (SLURM's default)
#   --time T               SLURM's time limit, e.g. 24:00:00 or 2-00:00:00 (the partition's)
#   --partition P, --account A, --qos Q, --job-name J   as for sbatch (J: strata-WORKDIR'S NAME)
#   --sbatch "WORDS"       more flags for sbatch, e.g. "--mem=0 --exclusive"
#   --grace S              seconds between TERM and KILL: longer than a step and a save (300)
#   --max-restarts R       limit of restarts in a row without a newer checkpoint (3)
#   --logs D               folder for logs and the count of restarts (WORKDIR.launch)
#   --dry-run              prints the batch script instead of submitting it
#
# The software is a virtual environment on the shared file system, or a container:
#   --venv D               virtual environment with strata (.venv of this checkout)
#   --container IMAGE      container with strata, run by --runtime pyxis or apptainer (pyxis)
#   --mounts A:B,...       more folders to mount besides the workdir, the logs and launch/
set -euo pipefail
# shellcheck source=launch/flags.sh
source "$(dirname "$0")/../flags.sh"
# shellcheck source=launch/command.sh
source "$launch/command.sh"

workdir='' nodes=1 gpus_per_node=0 tasks_per_node=1 cpus_per_task='' time='' partition='' account='' qos='' job_name=''
sbatch='' grace=300 max_restarts=3 logs='' venv=$(dirname "$launch")/.venv container='' runtime=pyxis mounts=''
parse_flags "config workdir nodes gpus_per_node tasks_per_node cpus_per_task time partition account qos job_name sbatch \
  grace max_restarts logs venv container runtime mounts" "dry_run" "$@"
read_command
positive nodes tasks_per_node grace
natural gpus_per_node max_restarts
((grace <= 60000)) || die "--grace $grace: SLURM sends TERM at most 65535 seconds before the time limit"
! is_given cpus_per_task || positive cpus_per_task
! is_given time || matches time '[0-9]+(-[0-9]+)?(:[0-9]+){0,2}' "a time such as 24:00:00 or 2-00:00:00"
! is_given job_name || matches job_name '[A-Za-z0-9_.-]+' "a job's name (letters, digits, _ . -)"
for flag in partition account qos; do ! is_given "$flag" || matches "$flag" '[A-Za-z0-9_.,-]+' "a name"; done
((tasks_per_node == 1 || tasks_per_node == gpus_per_node)) ||
  die "--tasks-per-node $tasks_per_node: one process has a node's GPUs, or each GPU has a process; there are $gpus_per_node"
one_process_unless_train $((nodes * tasks_per_node))
one_of runtime pyxis apptainer
! is_given venv || [[ -z $container ]] || die "--venv and --container: one of them"
[[ -n $container ]] || ! is_given runtime || die "--runtime is for --container"
[[ -n $container ]] || ! is_given mounts || die "--mounts is for --container"

[[ -z $workdir ]] || change workdir "$(absolute "${workdir%/}")"
case $workdir in
  "") is_given logs || die "--logs is missing: the command has no --workdir, next to which logs would be" ;;
  *://*) is_given logs || die "--workdir $workdir is not on a file system: --logs needs a folder that is" ;;
esac
logs=$(absolute "${logs:-$workdir.launch}")
[[ $logs != *://* ]] || die "--logs $logs is not on a file system"
# sbatch expands % in the name of a log, and a directive ends at a space.
for flag in ${workdir:+workdir} logs; do
  matches "$flag" '[A-Za-z0-9_./:=+@-]+' "a path of letters, digits and _ . / : = + @ -"
done
if [[ -z $container ]]; then
  [[ -z $config ]] || recipe_exists
  venv=$(absolute "$venv")
  ((dry_run)) && ! is_given venv || [[ -x $venv/bin/strata ]] || die "--venv $venv has no bin/strata: make install"
  [[ $config == CONFIG || -z $config ]] || change config "$(absolute "$config")"
fi

run_name=${workdir:-${command[1]}}
directives=(
  "--job-name=${job_name:-strata-${run_name##*/}}"
  "--nodes=$nodes" "--ntasks-per-node=$tasks_per_node"
  ${cpus_per_task:+"--cpus-per-task=$cpus_per_task"}
  ${time:+"--time=$time"} ${partition:+"--partition=$partition"} ${account:+"--account=$account"} ${qos:+"--qos=$qos"}
  # Leave a minute after the processes' grace for the requeue.
  --requeue "--signal=B:TERM@$((grace + 60))" --open-mode=append
  # Only one job per workdir at a time.
  --dependency=singleton
  "--output=$logs/%j.log"
)
((gpus_per_node == 0)) || directives+=("--gpus-per-node=$gpus_per_node")
read -ra more <<<"$sbatch"
directives+=(${more[@]+"${more[@]}"})

# A task that ends early must not end the others while they save.
srun=(srun --kill-on-bad-exit=0 "--wait=$((grace > 120 ? grace : 120))" "--output=$logs/%j-%n-%t.log" --open-mode=append)
((gpus_per_node == 0)) || srun+=("--gpus-per-node=$gpus_per_node")
[[ -z $cpus_per_task ]] || srun+=("--cpus-per-task=$cpus_per_task")
inside=()
if [[ -n $container ]]; then
  binds="$launch,$logs"
  [[ $workdir == *://* || -z $workdir ]] || binds+=",$(dirname "$workdir")"
  binds+=${mounts:+,$mounts}
  if [[ $runtime == pyxis ]]; then
    # pyxis needs A:B where apptainer accepts A alone.
    binds=$(tr , '\n' <<<"$binds" | sed 's/^\([^:]*\)$/\1:\1/' | paste -sd ,)
    srun+=("--container-image=$container" "--container-mounts=$binds")
  else
    inside=(apptainer exec)
    ((gpus_per_node == 0)) || inside+=(--nv)
    inside+=(--bind "$binds" "$container")
  fi
fi

render() {
  echo "#!/usr/bin/env bash"
  printf '#SBATCH %s\n' "${directives[@]}"
  echo
  [[ -n $container ]] || echo "export PATH=$(words "$venv/bin"):\"\$PATH\" STRATA_PYTHON=$(words "$venv/bin/python3")"
  echo "export STRATA_GRACE=$grace"
  # By default jax gives each process one GPU under SLURM.
  ((gpus_per_node < 2 || tasks_per_node > 1)) || echo "export JAX_LOCAL_DEVICE_IDS=$(seq -s , 0 $((gpus_per_node - 1)))"
  echo "workdir=$(words ${workdir:+"$workdir"}) logs=$(words "$logs") max_restarts=$max_restarts launch=$(words "$launch")"
  echo "srun=($(words "${srun[@]}"))"
  echo "command=($(words ${inside[@]+"${inside[@]}"} "$launch/entry.sh" "${command[@]}"))"
  # shellcheck disable=SC2016  # expanded in the job
  echo 'source "$launch/slurm/job.sh"'
}

if ((dry_run)); then
  render
else
  needs_program sbatch
  mkdir -p "$logs" || die "--logs $logs cannot be made"
  render | sbatch
fi

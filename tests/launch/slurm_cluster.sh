#!/usr/bin/env bash
# A SLURM of two nodes on this machine, in a folder of its own: slurm_cluster.sh start D | stop D
#
# Needs root. `start` installs Debian's packages where they are missing, and prints nothing once both nodes are idle;
# then SLURM_CONF=D/slurm.conf reaches it. munge has its own key and socket in D, so that nothing outside D is touched.
set -euo pipefail

die() {
  echo "slurm_cluster.sh: $*" >&2
  exit 2
}

[[ $# == 2 && ($1 == start || $1 == stop) ]] || die "usage: slurm_cluster.sh start|stop FOLDER"
folder=$2
export SLURM_CONF=$folder/slurm.conf PATH=$PATH:/usr/sbin:/sbin

stop() {
  local name pid
  for name in "$(hostname -s)" "$(hostname -s)-2" controller munged; do
    pid=$(cat "$folder/$name.pid" 2>/dev/null) || continue
    kill "$pid" 2>/dev/null || continue
    for _ in {1..50}; do
      kill -0 "$pid" 2>/dev/null || continue 2
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
}

install_packages() {
  command -v slurmctld >/dev/null && command -v slurmd >/dev/null && command -v munged >/dev/null && return
  command -v apt-get >/dev/null || die "needs slurmctld, slurmd and munge, and there is no apt-get to install them"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge; } \
    >"$folder/apt.log" 2>&1 || die "apt-get could not install slurmctld, slurmd and munge: see $folder/apt.log"
}

configure() {
  local host
  host=$(hostname -s)
  # jax takes the first node's name as the address of process 0, so that one has a name which resolves.
  cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((port))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldLogFile=$folder/controller.log
SlurmdLogFile=$folder/%n.log
SlurmctldPidFile=$folder/controller.pid
SlurmdPidFile=$folder/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
JobRequeue=1
SchedulerParameters=batch_sched_delay=1,sched_interval=5
NodeName=$host NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=2
NodeName=$host-2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=2
PartitionName=all Nodes=ALL Default=YES State=UP MaxTime=INFINITE
CONF
}

start() {
  [[ $(id -u) == 0 ]] || die "needs root, to install and start slurmctld, slurmd and munged"
  mkdir -p "$folder/state" "$folder/$(hostname -s)" "$folder/$(hostname -s)-2"
  chmod 755 "$folder"
  install_packages
  port=$((17000 + RANDOM % 2000))
  configure
  (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
  trap stop ERR
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
  munge -n -S "$folder/munge.socket" | unmunge -S "$folder/munge.socket" >/dev/null
  slurmctld -f "$SLURM_CONF"
  slurmd -N "$(hostname -s)" -f "$SLURM_CONF"
  slurmd -N "$(hostname -s)-2" -f "$SLURM_CONF"
  for _ in {1..60}; do
    [[ $(sinfo -h -t idle -o %D 2>/dev/null) != 2 ]] || return 0
    sleep 0.5
  done
  stop
  die "the two nodes did not become idle: see $folder/*.log"
}

"$1"

"""The processes of a run: how they are found and joined.

jax.distributed joins the processes and finds them under SLURM, Open MPI, Kubernetes and on Cloud
TPU. If one is missing at the start it aborts all others after a while, without saying which one, so
there is a roll call first (roll_call.py).
"""

import os
import sys
import threading

import jax

from pipeline.core import progress
from pipeline.core.errors import ConfigError
from pipeline.training.runtime import gloo
from pipeline.training.runtime.roll_call import Group, roll_call

# What schedulers set in a job of several processes: (number of processes, what else must be set).
_SIGNS = (
    ("SLURM_NTASKS", "SLURM_STEP_NODELIST"),  # srun
    ("OMPI_COMM_WORLD_SIZE", "OMPI_MCA_orte_hnp_uri"),  # mpirun
    (None, "JOB_COMPLETION_INDEX"),  # an indexed Job or JobSet of Kubernetes
    (None, "TPU_WORKER_HOSTNAMES"),  # Cloud TPU on GKE
    (None, "MEGASCALE_COORDINATOR_ADDRESS"),  # several slices of Cloud TPU
)


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    timeout_s: int = 300,
    heartbeat_s: int = 100,
) -> Group | None:
    """Join the other processes of the run, given by the arguments or by the scheduler.

    It must be called before anything asks JAX for its devices. Returns None for a run of one
    process. If a process dies later, the others end within about `heartbeat_s` seconds.

    Raises:
      ConfigError: only some of the arguments are given, or they are impossible; the coordinator's
        name does not resolve, or its port is in use. Hung: a process is missing after `timeout_s`;
        the message names it.
    """
    group = _given(coordinator_address, num_processes, process_id) or _detected(timeout_s)
    if group is None or group.num_processes == 1:
        return None
    progress.show(progress.screen.enabled and group.process_id == 0)
    with progress.task("waiting for the other processes of the run"):
        roll_call(group, timeout_s)
    # For the CPU backend only; others have their own collectives.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        group.coordinator,
        group.num_processes,
        group.process_id,
        initialization_timeout=timeout_s,
        heartbeat_timeout_seconds=heartbeat_s,
        shutdown_timeout_seconds=min(60, heartbeat_s),
    )
    with gloo.in_the_background():
        jax.devices()
    return group


def shutdown() -> None:
    """Leave the group together with all processes; otherwise the last ones are aborted."""
    if jax.distributed.is_initialized():
        jax.distributed.shutdown()


def leave(exit_code: int, *, wait_s: float) -> None:
    """End this process with an exit code, after waiting up to `wait_s` for the others to end.

    After a failure of this process alone they never end, and JAX would abort this one instead.
    """
    waiting = threading.Thread(target=shutdown, daemon=True)
    waiting.start()
    waiting.join(wait_s)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _given(address: str | None, num_processes: int | None, process_id: int | None) -> Group | None:
    given = {
        "coordinator_address": address,
        "num_processes": num_processes,
        "process_id": process_id,
    }
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if address is None or num_processes is None or process_id is None:
        raise ConfigError(
            f"{' and '.join(missing)} missing: a run of several processes needs all three"
        )
    if num_processes < 1 or not 0 <= process_id < num_processes:
        raise ConfigError(
            f"--process_id {process_id} of --num_processes {num_processes}: ids are 0 and on"
        )
    return Group.at(address, num_processes, process_id)


def _detected(timeout_s: int) -> Group | None:
    """Return the group that the scheduler's environment describes, as JAX reads it."""
    # jax.distributed.initialize reads the same, but connects at once.
    from jax._src.cloud_tpu_init import running_in_cloud_tpu_vm
    from jax._src.clusters import ClusterEnv

    for count, sign in _SIGNS:
        if sign in os.environ and (count is None or int(os.environ.get(count, "1")) > 1):
            break
    else:
        if not running_in_cloud_tpu_vm:
            return None
        sign = "this Cloud TPU VM"
    found = ClusterEnv.auto_detect_unset_distributed_params(
        os.environ.get("JAX_COORDINATOR_ADDRESS"), None, None, None, None, timeout_s
    )
    address, num_processes, process_id, devices = found
    if address is None or num_processes is None or process_id is None:
        raise ConfigError(
            f"{sign} says that this is one of several processes, but not which: give "
            "--coordinator_address, --num_processes and --process_id"
        )
    if devices is not None and "JAX_LOCAL_DEVICE_IDS" not in os.environ:
        os.environ["JAX_LOCAL_DEVICE_IDS"] = ",".join(map(str, devices))
    return Group.at(address, num_processes, process_id)

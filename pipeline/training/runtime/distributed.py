"""The processes of a run: how they are found, and a roll call that names those that are missing.

jax.distributed joins the processes and finds them under SLURM, Open MPI, Kubernetes and on Cloud
TPU. If one is missing at the start it aborts all others after a while, without saying which one, so
there is a roll call first.
"""

import contextlib
import dataclasses
import json
import os
import socket
import sys
import threading
import time

import jax

from pipeline.core.errors import ConfigError, Hung
from pipeline.training.runtime import gloo

# What schedulers set in a job of several processes: (number of processes, what else must be set).
_SIGNS = (
    ("SLURM_NTASKS", "SLURM_STEP_NODELIST"),  # srun
    ("OMPI_COMM_WORLD_SIZE", "OMPI_MCA_orte_hnp_uri"),  # mpirun
    (None, "JOB_COMPLETION_INDEX"),  # an indexed Job or JobSet of Kubernetes
    (None, "TPU_WORKER_HOSTNAMES"),  # Cloud TPU on GKE
    (None, "MEGASCALE_COORDINATOR_ADDRESS"),  # several slices of Cloud TPU
)


@dataclasses.dataclass(frozen=True)
class Group:
    """The processes of a run as seen by one of them; `coordinator` is HOST:PORT of process 0."""

    coordinator: str
    num_processes: int
    process_id: int


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
      ConfigError: only some of the arguments are given, or they are impossible. Hung: a process is
        missing after `timeout_s`; the message names it.
    """
    group = _given(coordinator_address, num_processes, process_id) or _detected(timeout_s)
    if group is None or group.num_processes == 1:
        return None
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


def roll_call(group: Group, timeout_s: float | int) -> None:
    """Wait on every process until all are there, at the coordinator's address before JAX uses it.

    Raises:
      Hung: processes are missing after `timeout_s`; the message names them. ConfigError: two have
        the same id.
    """
    host, port = _address(group.coordinator)
    deadline = time.monotonic() + timeout_s
    try:
        answer = (
            _call(port, group, deadline)
            if group.process_id == 0
            else _respond(host, port, group, deadline)
        )
    except TimeoutError:
        raise Hung(
            f"process {group.process_id} did not reach process 0 at {group.coordinator} within "
            f"{timeout_s:.0f} s: is it running, and does a firewall let the port through?"
        ) from None
    if "twice" in answer:
        raise ConfigError(f"--process_id {answer['twice']} was given to two processes")
    if answer["missing"]:
        names = ", ".join(map(str, answer["missing"]))
        there = "; ".join(
            f"{process} on {name}"
            for process, name in sorted(answer["there"].items(), key=_by_number)
        )
        raise Hung(
            f"{len(answer['there'])} of {group.num_processes} processes came within "
            f"{timeout_s:.0f} s; missing: {names} (there are {there})"
        )


def _call(port: int, group: Group, deadline: float) -> dict:
    """Wait for the others on process 0, and send each the outcome."""
    there = {"0": socket.gethostname()}
    answer: dict = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listen(port))
        lines = []
        while len(there) < group.num_processes and not answer:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                line = stack.enter_context(server.accept()[0])
                line.settimeout(5)
                said = json.loads(line.makefile().readline())
            except TimeoutError:
                if time.monotonic() >= deadline:
                    break
                continue
            except (OSError, ValueError):  # not a process of this run
                continue
            lines.append(line)
            if said["process"] in there:
                answer["twice"] = said["process"]
            there[said["process"]] = said["host"]
        missing = [process for process in range(group.num_processes) if str(process) not in there]
        answer |= {"missing": missing, "there": there}
        for line in lines:
            with contextlib.suppress(OSError):
                line.sendall(json.dumps(answer).encode() + b"\n")
    return answer


def _respond(host: str, port: int, group: Group, deadline: float) -> dict:
    """Find process 0 from another process, and wait for the outcome."""
    said = (
        json.dumps({"process": str(group.process_id), "host": socket.gethostname()}).encode()
        + b"\n"
    )
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            with socket.create_connection((host, port), timeout=left) as line:
                line.sendall(said)
                # Process 0 may have started to wait later than this one.
                line.settimeout(max(0.01, left) + 10)
                answer = line.makefile().readline()
            if answer:
                return json.loads(answer)
        except (OSError, ValueError):
            pass  # It is not listening yet, or its host has no name yet.
        time.sleep(0.2)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("", port))
    except OSError as error:
        raise ConfigError(
            f"the coordinator's port {port} cannot be used: {error.strerror}"
        ) from None


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
    _address(address)
    return Group(address, num_processes, process_id)


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
    return Group(address, num_processes, process_id)


def _address(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise ConfigError(f"--coordinator_address {address!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _by_number(item: tuple[str, str]) -> int:
    return int(item[0])

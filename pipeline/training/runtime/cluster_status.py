"""Communication between a run's processes, through the key-value store of jax.distributed."""

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from pipeline.core import errors
from pipeline.core.errors import ConfigError, StrataError
from pipeline.training.runtime.phases import Phases

_PHASES = "strata/phases/"
_ERROR = "strata/error/"
# The host time per step of a straggler exceeds the median of the others by this factor, this share
# of the step and these seconds: process 0 writes the metrics and takes a little longer.
_SLOWER, _SHARE, _AT_LEAST_S = 1.5, 0.1, 0.05


class ClusterStatus:
    """The progress of each process; with one process nothing is published."""

    def __init__(self, phases: Phases):
        self._phases, self._client = phases, client()
        self._last = dict(phases.seconds), phases.step
        self._host = socket.gethostname()

    def publish(self, step: int, device_wait_s: float) -> None:
        """Publish the time since the last call, of which `device_wait_s` waited for devices."""
        if self._client is None:
            return
        seconds, last_step = self._last
        self._last = dict(self._phases.seconds), step
        spent = {name: now - seconds[name] for name, now in self._phases.seconds.items()}
        spent["step"] -= device_wait_s
        steps = max(1, step - last_step)
        own = {name: spent[name] / steps for name in ("step", "data", "save")}
        message = {"host": self._host, "step": step, "at": time.time(), "seconds": own}
        self._client.key_value_set(
            f"{_PHASES}{jax.process_index()}", json.dumps(message), allow_overwrite=True
        )

    def straggler(self, step_seconds: float) -> str | None:
        """Describe the process that delays the others, with its longest phase; None without one.

        Devices wait for one another in each step, so that all processes take as long as the
        slowest. The slowest is the one whose host is busy (loading data, saving, running Python)
        while the others wait.
        """
        published = self._published()
        if len(published) < 2:
            return None
        own = {process: sum(each["seconds"].values()) for process, each in published.items()}
        slowest = max(own, key=lambda process: own[process])
        others = float(
            np.median([seconds for process, seconds in own.items() if process != slowest])
        )
        if own[slowest] < _SLOWER * others or own[slowest] - others < max(
            _SHARE * step_seconds, _AT_LEAST_S
        ):
            return None
        host, seconds = published[slowest]["host"], published[slowest]["seconds"]
        phase = max(seconds, key=lambda name: seconds[name])
        return (
            f"straggler: process {slowest} on {host} spends {1000 * own[slowest]:.0f} ms a step on "
            f"the host, most of it in phase {phase!r}; the others {1000 * others:.0f} ms"
        )

    def describe(self) -> str:
        """Describe where every process was when it last published."""
        now = time.time()
        places = [
            f"process {process} on {each['host']}: step {each['step']}, "
            f"{now - each['at']:.0f} s ago"
            for process, each in sorted(self._published().items())
        ]
        return "; ".join(places)

    def _published(self) -> dict[int, dict[str, Any]]:
        if self._client is None:
            return {}
        entries = self._client.key_value_dir_get(_PHASES)
        return {int(key.rpartition("/")[2]): json.loads(value) for key, value in entries}


@contextlib.contextmanager
def raise_on_all_processes(what: str) -> Iterator[None]:
    """Raise the error of the first process that had one on all processes, with its exit code.

    Without this, a process that finds no data ends, and the others wait for it until they are
    aborted.
    """
    failed: StrataError | None = None
    try:
        yield
    except StrataError as error:
        if jax.process_count() == 1:
            raise
        failed = error
    if jax.process_count() == 1:
        return
    store = client()
    if failed is not None:
        report = json.dumps(
            {"type": type(failed).__name__, "text": str(failed), "host": socket.gethostname()}
        )
        store.key_value_set(f"{_ERROR}{what}/{jax.process_index()}", report, allow_overwrite=True)
    failures = np.flatnonzero(
        multihost_utils.process_allgather(np.array([failed is not None])).reshape(-1)
    )
    if len(failures):
        first = int(failures[0])
        report = json.loads(store.blocking_key_value_get(f"{_ERROR}{what}/{first}", 10_000))
        raise getattr(errors, report["type"])(
            f"process {first} on {report['host']}, {what}: {report['text']}"
        )


def check_equal(values: Mapping[str, str]) -> None:
    """Raise ConfigError, naming the processes, for a value that differs between processes."""
    if jax.process_count() == 1:
        return
    digests = np.stack(
        [
            np.frombuffer(hashlib.sha256(value.encode()).digest(), np.uint8)
            for value in values.values()
        ]
    )
    gathered = multihost_utils.process_allgather(digests)  # [process, value, byte]
    for index, name in enumerate(values):
        seen = [bytes(digest[index]) for digest in gathered]
        common = max(seen, key=lambda digest: (seen.count(digest), digest == seen[0]))
        odd = [str(process) for process, digest in enumerate(seen) if digest != common]
        if odd:
            raise ConfigError(
                f"{name} is not the same on all processes: process {', '.join(odd)} has another "
                f"than the other {len(seen) - len(odd)}"
            )


def client() -> Any:
    """Return the key-value store; None with one process."""
    from jax._src import distributed  # JAX has no public name for it; Orbax uses it too.

    return distributed.global_state.client if jax.process_count() > 1 else None

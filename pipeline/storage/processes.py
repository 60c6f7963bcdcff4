"""Identity of a process, such that another one can tell later whether it still runs."""

import os
import pathlib
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

_PROC = pathlib.Path("/proc")


def identity() -> dict[str, Any]:
    """Return JSON that identifies this process: host, machine, process, its start, the time."""
    return {
        "host": socket.gethostname(),
        "machine": machine(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:2]]).strip(),
    }


def describe(about: Mapping[str, Any]) -> str:
    """Return the process of an `identity` in words, for messages."""
    if not about:
        return "a process that cannot be read"
    command = f" ({about['command']})" if about.get("command") else ""
    where = f"process {about.get('process')} on {about.get('host')}"
    return f"{where}{command} since {about.get('time')}"


def machine() -> str:
    """Return what processes have in common that see each other's numbers.

    It is the boot of the kernel and the namespace of processes: containers of one machine see only
    their own processes, and a machine that was started again has none of its old ones.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def is_running(about: Mapping[str, Any]) -> bool | None:
    """Return whether the process of an `identity` runs; None if it is not seen from here."""
    if about.get("machine") != machine():
        return None
    process = about.get("process")
    if not isinstance(process, int) or process < 1:
        return None
    return exists(process) and _started(process) == about.get("started")


def exists(process: int) -> bool:
    """Return whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _started(process: int) -> str | None:
    """Return the start of a process in ticks since the boot, "ended" for one not yet reaped."""
    try:
        # The name, in parentheses, may contain anything; the third field follows it.
        fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "ended" if fields[0] in "ZX" else fields[19]

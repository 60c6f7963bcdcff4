"""The memory of the device that programs run on; a CPU's is that of the machine."""

import os
import pathlib
from typing import Any

import jax

# What a control group may use, and uses, in versions 2 and 1.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available(device: Any = None) -> int:
    """Return the bytes that the process may still allocate on a device, by default the first.

    Of an accelerator it is what its allocator may take, without what is in use there. Of a CPU it
    is the machine's available memory, or less in a control group with a limit of its own.
    """
    device = jax.local_devices()[0] if device is None else device
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return max(0, stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return _of_host()


def _of_host() -> int:
    free = _available() or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit, used in _GROUPS:
        most = _number(limit)
        if most is not None:
            free = min(free, max(0, most - (_number(used) or 0)))
    return free


def _available() -> int | None:
    """Return what Linux estimates that programs can take without swapping."""
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None


def _number(path: str) -> int | None:
    """Return the number in a file; None if there is no such file, or no number in it ("max")."""
    try:
        text = pathlib.Path(path).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None

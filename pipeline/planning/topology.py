"""Make jax devices to compile for from a machine's description: `v5p:4x4x4`, `cpu:8`, `h100:8`."""

import contextlib
import dataclasses
import importlib.util
import math
import os
import re
from typing import Any

import jax
from jax.experimental import topologies

from pipeline.core.chips import CHIPS, Chip
from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError

EXAMPLES = "v5e:4x4, v5p:4x4x4, v6e:16x16, 2*v5e:16x16 (two slices), cpu:8, h100:8"
_MOST_HOST_DEVICES = 4096  # XLA takes a second and 100 MB for a thousand
_TPUS = {"v4": 3, "v5e": 2, "v5p": 3, "v6e": 2}  # name -> dimensions of the torus
_DESCRIPTION = re.compile(r"(?:(?P<slices>\d+)\*)?(?P<name>[a-z0-9-]+):(?P<shape>\d+(?:x\d+)*)")
# Without these the TPU compiler queries the cloud for its machine. Any values do: the topology is
# passed explicitly.
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    # Nothing runs here, so several processes may load the library at once.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class Topology:
    """A machine to compile for.

    `platform` is jax's backend name; `chip` is None for a CPU, which has no published peak.
    """

    name: str
    platform: str
    chip: Chip | None
    shape: tuple[int, ...]
    slices: int = 1

    @property
    def num_devices(self) -> int:
        """Number of chips, or of host devices."""
        return self.slices * math.prod(self.shape)


def parse(text: str) -> Topology:
    """Parse `[slices*]chip:AxB[xC]`, or `chip:count` for a CPU or GPUs.

    Raises:
      ConfigError: the text has neither form, or names an unknown chip.
    """
    match = _DESCRIPTION.fullmatch(text.lower())
    if match is None:
        raise ConfigError(f"--topology {text!r} is not CHIP:SHAPE, such as {EXAMPLES}")
    name, slices = match["name"], int(match["slices"] or 1)
    shape = tuple(int(size) for size in match["shape"].split("x"))
    known = ("cpu", *CHIPS, "a100")
    if name not in known:
        raise ConfigError(f"--topology {text!r}: {nearest(name, known)}; such as {EXAMPLES}")
    if min(shape) < 1 or slices < 1:
        raise ConfigError(f"--topology {text!r}: sizes are 1 or more, such as {EXAMPLES}")
    if name in _TPUS:
        if len(shape) != _TPUS[name]:
            example = "x".join(["4"] * _TPUS[name])
            raise ConfigError(
                f"--topology {text!r}: a {name} has {_TPUS[name]} dimensions, "
                f"such as {name}:{example}"
            )
        return Topology(text, "tpu", CHIPS[name], shape, slices)
    if len(shape) != 1 or slices != 1:
        raise ConfigError(
            f"--topology {text!r}: {name} takes a number of devices, such as {name}:8"
        )
    if name == "cpu":
        if shape[0] > _MOST_HOST_DEVICES:
            raise ConfigError(
                f"--topology {text!r}: a host stands in for at most {_MOST_HOST_DEVICES} devices, "
                "such as cpu:8"
            )
        return Topology(text, "cpu", None, shape)
    return Topology(text, "gpu", CHIPS["a100-80" if name == "a100" else name], shape)


def devices(topology: Topology) -> list[Any]:
    """Return devices to build a mesh of; accelerator devices serve for compilation only.

    Raises:
      ConfigError: their compiler is not installed, or does not know such a machine.
    """
    make = {"tpu": _tpu_devices, "cpu": _cpu_devices, "gpu": _gpu_devices}[topology.platform]
    return make(topology)


def _tpu_devices(topology: Topology) -> list[Any]:
    if importlib.util.find_spec("libtpu") is None:
        raise ConfigError(
            f"--topology {topology.name} needs the TPU's compiler: pip install strata[plan]"
        )
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ.pop("TPU_LIBRARY_PATH", None)  # set by pipeline.cli.main to hide libtpu
    options: dict[str, Any] = {"num_slices": topology.slices} if topology.slices > 1 else {}
    chip = topology.chip
    assert chip is not None
    if chip.name == "v4":
        # Both cores of a chip are one device, as on real hardware.
        options["chip_config_name"] = "megacore"
    layout = "x".join(map(str, topology.shape))
    if math.prod(topology.shape) < 4:
        options["chips_per_host_bounds"] = [*topology.shape, 1, 1][:3]
    try:
        return topologies.get_topology_desc(f"{chip.name}:{layout}", "tpu", **options).devices
    except (jax.errors.JaxRuntimeError, RuntimeError) as error:
        raise ConfigError(
            f"--topology {topology.name}: {_first_line(error)}; such as {EXAMPLES}"
        ) from None


def _cpu_devices(topology: Topology) -> list[Any]:
    wanted = topology.num_devices
    with contextlib.suppress(RuntimeError):  # jax has already started with its devices
        jax.config.update("jax_num_cpu_devices", wanted)
    found = jax.devices("cpu")
    if len(found) < wanted:
        raise ConfigError(
            f"--topology {topology.name}: there are {len(found)} host devices: "
            f"set XLA_FLAGS=--xla_force_host_platform_device_count={wanted}"
        )
    return found[:wanted]


def _gpu_devices(topology: Topology) -> list[Any]:
    """Return GPU devices like those found: jax's plugin knows only the GPUs of this machine."""
    wanted = topology.num_devices
    try:
        found = topologies.get_topology_desc(f"1x1x{wanted}", "cuda").devices
    except Exception as error:  # exceptions of the plugin: not installed, no driver, no GPU
        raise ConfigError(
            f"--topology {topology.name} needs jax's CUDA plugin (pip install strata[cuda]) "
            f"and a GPU of that kind to take its description from: {_first_line(error)}"
        ) from None
    return found[:wanted]


def _first_line(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text.removeprefix("INVALID_ARGUMENT: ").rstrip(".")

"""The mesh: `replica` across slices or nodes, `fsdp` within one, `context` along the height."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh

from pipeline.core.errors import ConfigError

AXES = ("replica", "fsdp", "context")
_AUTO = (AxisType.Auto,) * 3


def create(
    *, replica: int = 1, fsdp: int = -1, context: int = 1, devices: Sequence[Any] | None = None
) -> Mesh:
    """Create a mesh of these sizes over the devices; one size may be -1 and takes what is left.

    Sizes with a smaller product than the number of devices leave the last devices idle, if one
    process has all devices. Within a TPU slice neighbours on the mesh are neighbours on the torus;
    elsewhere devices keep their order, in which each process's devices are contiguous. With several
    slices, or several processes with GPUs (nodes), `replica` spans them and the other axes stay
    within one, if `replica` is a multiple of their number.

    Axes are of type Auto: convolutions with sharded kernels raise under Explicit ones.

    Raises:
      ConfigError: the sizes do not divide the devices, or the number of TPU slices does not divide
        `replica`.
    """
    devices = jax.devices() if devices is None else devices
    sizes = resolve(len(devices), replica=replica, fsdp=fsdp, context=context)
    total = math.prod(sizes.values())
    if total < len(devices) and jax.process_count() > 1:
        raise ConfigError(
            f"mesh {_shown(sizes)} leaves some of the {len(devices)} devices of several processes "
            "idle"
        )
    return Mesh(arrange(list(devices[:total]), sizes), AXES, axis_types=_AUTO)


def abstract(*, replica: int = 1, fsdp: int = -1, context: int = 1) -> AbstractMesh:
    """Create a mesh of these sizes without devices, to see how arrays would be split.

    A size of -1 is filled in from the number of this machine's devices.
    """
    sizes = {"replica": replica, "fsdp": fsdp, "context": context}
    count = jax.device_count() if -1 in sizes.values() else math.prod(sizes.values())
    return AbstractMesh(tuple(resolve(count, **sizes).values()), AXES, axis_types=_AUTO)


def parse(text: str, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return `sizes` with the changes in `text`, such as "replica=-1,fsdp=8" or "" for none.

    Raises:
      ConfigError: `text` is not of this form.
    """
    changed = dict(sizes)
    for part in filter(None, text.split(",")):
        axis, _, size = part.partition("=")
        if axis not in AXES or not re.fullmatch(r"-?\d+", size):
            raise ConfigError(
                f"--mesh {text}: {part!r} is not AXIS=SIZE, such as replica=1,fsdp=8,context=1"
            )
        changed[axis] = int(size)
    return changed


def resolve(num_devices: int, *, replica: int, fsdp: int, context: int) -> dict[str, int]:
    """Return the sizes with the one that is -1 filled in.

    Raises:
      ConfigError: a size is out of range, or their product does not divide `num_devices`.
    """
    sizes = {"replica": replica, "fsdp": fsdp, "context": context}
    shown = _shown(sizes)
    free = [axis for axis, size in sizes.items() if size == -1]
    if len(free) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise ConfigError(f"mesh {shown}: sizes are 1 or more, and one may be -1")
    if free:
        sizes[free[0]] = num_devices // math.prod(size for size in sizes.values() if size != -1)
    total = math.prod(sizes.values())
    if total < 1 or num_devices % total:
        raise ConfigError(
            f"mesh {shown} does not divide the {num_devices} devices: their product must"
        )
    return sizes


def arrange(devices: list[Any], sizes: dict[str, int]) -> np.ndarray:
    """Return the devices as an array [replica fsdp context].

    Raises:
      ConfigError: `fsdp` or `context` would span several TPU slices.
    """
    shape = tuple(sizes.values())
    platform = devices[0].platform
    slices = {getattr(device, "slice_index", None) or 0 for device in devices}
    processes = {device.process_index for device in devices}
    # On GPUs JAX may report slices (NVLink domains); where it does not, each process is a node.
    by_process = len(slices) == 1 and platform == "gpu"
    granules = len(processes) if by_process else len(slices)
    if granules > 1 and sizes["replica"] % granules == 0:
        within = (sizes["replica"] // granules, *shape[1:])
        return mesh_utils.create_hybrid_device_mesh(
            within,
            (granules, 1, 1),
            devices,
            process_is_granule=by_process,
            allow_split_physical_axes=True,
        )
    if platform == "tpu" and granules > 1:
        raise ConfigError(
            f"mesh {_shown(sizes)} splits fsdp or context over {granules} slices: "
            f"make replica a multiple of {granules}, such as --config.mesh.replica={granules}"
        )
    if platform == "tpu":
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    return np.array(devices).reshape(shape)


def _shown(sizes: dict[str, int]) -> str:
    return " x ".join(f"{axis}={size}" for axis, size in sizes.items())


def check_batch(
    mesh: Mesh | AbstractMesh,
    batch_size: int,
    *,
    grad_accum_steps: int = 1,
    key: str = "batch_size",
) -> None:
    """Check that a global batch can be split over (replica, fsdp) and into microbatches.

    Raises:
      ConfigError: it cannot; the message names the nearest sizes that can.
    """
    shards = mesh.shape["replica"] * mesh.shape["fsdp"]
    if grad_accum_steps < 1:
        raise ConfigError(f"grad_accum_steps={grad_accum_steps} must be 1 or more")
    unit = shards * grad_accum_steps
    if batch_size < 1 or batch_size % unit:
        below, above = batch_size // unit * unit, -(-max(batch_size, 1) // unit) * unit
        raise ConfigError(
            f"{key}={batch_size} must be a multiple of {unit}, such as "
            f"{f'{below} or ' if below > 0 else ''}{above}: the mesh splits a batch over "
            f"replica={mesh.shape['replica']} x fsdp={mesh.shape['fsdp']} devices, "
            f"and each shard into grad_accum_steps={grad_accum_steps} microbatches"
        )


def check_height(
    mesh: Mesh | AbstractMesh, height: int | None, *, key: str = "data.image_size"
) -> None:
    """Check that images of this height can be split over `context`; None is of other examples.

    Raises:
      ConfigError: they cannot.
    """
    context = mesh.shape["context"]
    if height is None and context > 1:
        raise ConfigError(f"mesh.context={context} splits the height of images: set it to 1")
    if height is not None and height % context:
        raise ConfigError(
            f"mesh.context={context} splits the height of images, and must divide {key}={height}"
        )

"""The mesh: `replica` across slices or nodes, `fsdp` within one, `context` along an activation's height or time."""

import math

import jax
from jax.sharding import AxisType, Mesh

from pipeline.errors import ConfigError

AXES = ("replica", "fsdp", "context")


def create(*, replica: int = 1, fsdp: int = -1, context: int = 1, devices: list | None = None) -> Mesh:
    """A mesh of these sizes over the devices; one size may be -1, and takes what is left.

    Smaller sizes than there are devices leave the last ones idle, where one process has them all.

    Axes are of type Auto: convolutions with sharded kernels raise under Explicit ones.

    Raises:
      ConfigError: the sizes do not divide the devices.
    """
    devices = jax.devices() if devices is None else devices
    sizes = {"replica": replica, "fsdp": fsdp, "context": context}
    shown = " x ".join(f"{axis}={size}" for axis, size in sizes.items())
    free = [axis for axis, size in sizes.items() if size == -1]
    if len(free) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise ConfigError(f"mesh {shown}: sizes are 1 or more, and one may be -1")
    known = math.prod(size for size in sizes.values() if size != -1)
    if free:
        sizes[free[0]] = len(devices) // known
    total = math.prod(sizes.values())
    if total < 1 or len(devices) % total or (total < len(devices) and jax.process_count() > 1):
        raise ConfigError(f"mesh {shown} does not divide the {len(devices)} devices: their product must")
    used = devices[:total]
    return jax.make_mesh(tuple(sizes.values()), AXES, axis_types=(AxisType.Auto,) * 3, devices=used)


def check_batch(mesh: Mesh, batch_size: int, *, accumulate: int = 1, key: str = "batch_size") -> None:
    """Raises ConfigError where a global batch cannot be split over (replica, fsdp) and into `accumulate` parts."""
    shards = mesh.shape["replica"] * mesh.shape["fsdp"]
    if accumulate < 1:
        raise ConfigError(f"accumulate={accumulate} must be 1 or more")
    if batch_size < 1 or batch_size % (shards * accumulate):
        raise ConfigError(
            f"{key}={batch_size} must be a multiple of {shards * accumulate}: the mesh splits a batch over "
            f"replica={mesh.shape['replica']} x fsdp={mesh.shape['fsdp']} devices, "
            f"and each part into accumulate={accumulate}"
        )

"""Networks of convolutions with branches, written as data: Inception v3 and I3D.

    network = (Unit("stem", 64, (7, 7), (2, 2)), [(Unit("a", 32),), (MAX, Unit("b", 32, (3, 3)))])

A network is a tuple of steps, applied in order. A step is a Unit, a Pool, or a list of networks
that get the same input and whose outputs are concatenated along channels. Two-dimensional
kernels take images, three-dimensional ones take clips.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from pipeline.backend.conv2d import conv2d
from pipeline.core.errors import DataError
from pipeline.nn.conv3d import convolve_3d

EPS = 1e-3  # added to the variance by the batch norms of both networks


@dataclasses.dataclass(frozen=True)
class Unit:
    """A convolution without bias, a batch norm by its running statistics, and ReLU.

    Args:
      name: the prefix in the published file of `name`.conv... and `name`.bn...
      width: output channels.
      same: pad with zeros to ceil(size / stride) outputs, as many before as after or one more
        after; otherwise there is no padding.
    """

    name: str
    width: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    same: bool = True


@dataclasses.dataclass(frozen=True)
class Pool:
    """The maximum of each window, or the mean of the window's part inside the map."""

    kind: str
    window: tuple[int, ...]
    stride: tuple[int, ...]
    same: bool = True


def units(network: tuple[Any, ...], channels: int = 3) -> Iterator[tuple[Unit, int]]:
    """Yield all units, each with its number of input channels."""
    for step in network:
        if isinstance(step, list):
            for branch in step:
                yield from units(branch, channels)
            channels = sum(_width(branch, channels) for branch in step)
        elif isinstance(step, Unit):
            yield step, channels
            channels = step.width


def _width(network: tuple[Any, ...], channels: int) -> int:
    """Return the number of output channels."""
    for step in network:
        if isinstance(step, list):
            channels = sum(_width(branch, channels) for branch in step)
        elif isinstance(step, Unit):
            channels = step.width
    return channels


def convert(
    network: tuple[Any, ...],
    tensors: Mapping[str, np.ndarray],
    *,
    conv_name: str,
    wrong: Callable[[str], DataError],
) -> dict[str, np.ndarray]:
    """Return a kernel and a bias for each unit of a torch state dict, with batch norms folded in.

    Raises:
      DataError: the file is another network's; `wrong` makes the error from a description.
    """
    weights = {}
    for unit, channels in units(network):
        name = f"{unit.name}.{conv_name}.weight"
        kernel = checked(tensors, name, (unit.width, channels, *unit.kernel), wrong)
        gain, shift, mean, variance = (
            checked(tensors, f"{unit.name}.bn.{leaf}", (unit.width,), wrong)
            for leaf in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + EPS)
        kernel = np.moveaxis(kernel, (0, 1), (-1, -2)) * scale
        weights[f"{unit.name}.kernel"] = np.asarray(kernel, np.float32, order="C")
        weights[f"{unit.name}.bias"] = np.asarray(shift - mean * scale, np.float32)
    return weights


def checked(
    tensors: Mapping[str, np.ndarray],
    name: str,
    shape: tuple[int, ...],
    wrong: Callable[[str], DataError],
) -> np.ndarray:
    """Return the tensor `name` in float64.

    Raises:
      DataError: it is absent or has another shape.
    """
    found = tensors.get(name)
    if found is None or found.shape != shape:
        is_there = "absent" if found is None else f"{list(found.shape)}"
        raise wrong(f"{name} is {is_there}, not {list(shape)}")
    return np.asarray(found, np.float64)


def run(
    network: tuple[Any, ...], weights: Mapping[str, Array], x: Float[Array, "n *s c"]
) -> Float[Array, "n *s2 d"]:
    """Apply the network to images [n h w c] or clips [n t h w c]."""
    for step in network:
        if isinstance(step, list):
            x = jnp.concatenate([run(branch, weights, x) for branch in step], axis=-1)
        elif isinstance(step, Pool):
            x = _pooled(step, x)
        else:
            x = jax.nn.relu(
                _convolved(step, weights[f"{step.name}.kernel"], weights[f"{step.name}.bias"], x)
            )
    return x


def _convolved(unit: Unit, kernel: Array, bias: Array, x: Array) -> Array:
    padding = [(0, 0)] * len(unit.kernel)
    if unit.same:
        padding = [_same(*each) for each in zip(x.shape[1:-1], unit.kernel, unit.stride)]
    if len(padding) == 2:
        return conv2d(x, kernel, unit.stride[0], (padding[0], padding[1]), bias)
    return convolve_3d(x, kernel, unit.stride, bias, (padding[0], padding[1], padding[2]))


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pooled(pool: Pool, x: Array) -> Array:
    window, stride = (1, *pool.window, 1), (1, *pool.stride, 1)
    padding = "SAME" if pool.same else "VALID"
    if pool.kind == "max":
        return lax.reduce_window(x, -jnp.inf, lax.max, window, stride, padding)
    count = lax.reduce_window(jnp.ones_like(x[:1, ..., :1]), 0.0, lax.add, window, stride, padding)
    return lax.reduce_window(x, 0.0, lax.add, window, stride, padding) / count

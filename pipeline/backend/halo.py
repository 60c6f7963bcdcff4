"""Halo exchange: layers over feature maps whose height is split over the mesh axis `context`."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from pipeline.backend import target

_BATCH = ("replica", "fsdp")


def with_halo_exchange(
    layer: Callable[[Any, Array], Array],
    weights: Any,
    x: Float[Array, "b *t h w c"],
    *,
    halo: int,
    edges: str = "zeros",
) -> Float[Array, "b *t2 h2 w2 d"]:
    """Return layer(weights, x), exchanging a halo of rows where images are split over `context`.

    `layer` computes the same at every row. Beyond the edges of an image it sees zeros, copies of
    the edge row (`edges` is "replicate"), or the rows mirrored at the edge row ("reflect"). A row
    of its output depends on at most `halo` rows on each side of its own; `halo` is a multiple of
    the layer's stride. Where devices have fewer rows than that, or would not hold whole output
    rows, each device computes all rows of its examples; this happens at the smallest resolutions
    only.

    The exchange is explicit and not left to XLA: jaxlib 0.10.2 partitions a convolution whose
    kernel has more rows than its input, or whose input has fewer rows than there are devices, such
    that gradients come out multiplied.
    """
    mesh = target.splitting_mesh()
    if mesh is None:
        return layer(weights, x)
    axis = x.ndim - 3
    context = mesh.shape["context"]
    ratio = Fraction(jax.eval_shape(layer, weights, x).shape[axis], x.shape[axis])
    rows = Fraction(x.shape[axis], context)
    # Mirroring leaves out the edge row.
    least = halo + (edges == "reflect")
    whole = rows.denominator > 1 or rows < least or (rows * ratio).denominator > 1
    if whole:
        return _mapped(layer, mesh, PartitionSpec(_BATCH))(weights, x)
    cut = int(halo * ratio)

    def with_neighbors(weights: Any, x: Array) -> Array:
        out = layer(weights, _with_halo(x, axis, halo, context, edges))
        return jax.lax.slice_in_dim(out, cut, out.shape[axis] - cut, axis=axis)

    spec = PartitionSpec(_BATCH, *[None] * (axis - 1), "context")
    return _mapped(with_neighbors, mesh, spec)(weights, x)


def _mapped(
    layer: Callable[[Any, Array], Array], mesh: Mesh, spec: PartitionSpec
) -> Callable[[Any, Array], Array]:
    axes = tuple(
        axis for entry in spec if entry for axis in ((entry,) if isinstance(entry, str) else entry)
    )

    def local(weights: Any, x: Array) -> Array:
        # From here on each device has its own copy, whose gradients are summed once.
        return layer(jax.lax.pcast(weights, axes, to="varying"), x)

    return jax.shard_map(local, mesh=mesh, in_specs=(PartitionSpec(), spec), out_specs=spec)


def _with_halo(
    x: Float[Array, "b *t h w c"], axis: int, halo: int, devices: int, edges: str
) -> Float[Array, "b *t h2 w c"]:
    """Return x between its neighbors' nearest rows.

    A device without a neighbor gets what lies beyond the edge: zeros, copies of its edge row, or
    its rows in reverse order without the edge row.
    """
    if halo == 0:
        return x
    down = [(device, device + 1) for device in range(devices - 1)]
    up = [(device + 1, device) for device in range(devices - 1)]
    rows = x.shape[axis]
    above = jax.lax.ppermute(jax.lax.slice_in_dim(x, rows - halo, rows, axis=axis), "context", down)
    below = jax.lax.ppermute(jax.lax.slice_in_dim(x, 0, halo, axis=axis), "context", up)
    if edges != "zeros":
        index = jax.lax.axis_index("context")
        top, bottom = _beyond_edges(x, axis, halo, edges)
        above = jnp.where(index == 0, top, above)
        below = jnp.where(index == devices - 1, bottom, below)
    return jnp.concatenate([above, x, below], axis=axis)


def _beyond_edges(x: Array, axis: int, halo: int, edges: str) -> tuple[Array, Array]:
    """Return the `halo` rows above x and below it, at the edges of an image."""
    rows = x.shape[axis]
    if edges == "replicate":
        top, bottom = (jax.lax.slice_in_dim(x, row, row + 1, axis=axis) for row in (0, rows - 1))
        return jnp.repeat(top, halo, axis=axis), jnp.repeat(bottom, halo, axis=axis)
    top = jax.lax.slice_in_dim(x, 1, halo + 1, axis=axis)
    bottom = jax.lax.slice_in_dim(x, rows - halo - 1, rows - 1, axis=axis)
    return jnp.flip(top, axis), jnp.flip(bottom, axis)

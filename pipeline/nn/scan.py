"""Layers of one shape after one another: unrolled, or scanned, so that the compiler sees one of them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from pipeline.backend import target

# (layer, x, what differs from layer to layer) -> (x, what the layer gives besides)
Step = Callable[[Any, Array, Any], tuple[Array, Any]]


def scanned_by_default() -> bool:
    """Whether to scan where nobody says: on a TPU, whose compiler takes minutes for what a CPU's takes seconds.

    On CPUs a scanned VDVAE runs 12 times slower than the unrolled one: XLA's convolutions there leave the fast path
    within a loop.
    """
    return target.backend() == "tpu"


def sequence(
    step: Step,
    layers: Sequence[nnx.Module],
    x: Array,
    inputs: Sequence[Any],
    *,
    scanned: bool,
    remat: bool = False,
) -> tuple[Array, list[Any]]:
    """x through step(layer, x, input) of each layer in turn, and the list of what the layers gave besides.

    `scanned` stacks the parameters of layers, which must be alike, within the program: those of the state, and so
    checkpoints and shardings, are the same either way. Layers whose inputs differ in structure are unrolled. `remat`
    recomputes each layer in the backward pass.
    """
    alike = len({jax.tree.structure(entry) for entry in inputs}) == 1
    if not (scanned and alike and len(layers) > 1) or target.unrolled():
        step = nnx.remat(step) if remat else step
        outputs = []
        for layer, entry in zip(layers, inputs, strict=True):
            x, output = step(layer, x, entry)
            outputs.append(output)
        return x, outputs

    graphdef = nnx.graphdef(layers[0])

    def body(x: Array, entry: tuple[Any, Any]) -> tuple[Array, Any]:
        state, own = entry
        return step(nnx.merge(graphdef, state), x, own)

    # The loop's own boundary keeps what is recomputed from being merged with the original.
    body = jax.checkpoint(body, prevent_cse=False) if remat else body
    x, stacked = jax.lax.scan(
        body, x, (_stacked([nnx.state(layer) for layer in layers]), _stacked(inputs))
    )
    return x, [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(layers))]


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

"""Identical layers in sequence: unrolled, or scanned, so that XLA compiles one of them."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from pipeline.backend import target

# (layer, x, the layer's own input) -> (x, the layer's own output)
Step = Callable[[Any, Array, Any], tuple[Array, Any]]


def scanned_by_default() -> bool:
    """Return whether to scan by default: on TPUs, whose compiler takes minutes to unroll.

    On CPUs a scanned VDVAE runs 12 times slower than the unrolled one: XLA's convolutions leave
    their fast path inside a loop.
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
    """Apply step(layer, x, input) for each layer; return x and the list of the layers' outputs.

    `scanned` stacks the parameters of layers, which must be identical in structure, inside the
    program: the training state, and so checkpoints and shardings, are the same either way. Layers
    whose inputs differ in structure are unrolled. `remat` recomputes each layer in the backward
    pass.
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

    # The loop's boundary already keeps XLA from merging the recomputation with the original.
    body = jax.checkpoint(body, prevent_cse=False) if remat else body
    x, stacked = jax.lax.scan(
        body, x, (_stacked([nnx.state(layer) for layer in layers]), _stacked(inputs))
    )
    return x, [jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in range(len(layers))]


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)

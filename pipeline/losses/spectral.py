"""Spectral regularization (arXiv 1705.10941; NVAE, arXiv 2007.03898, eq. 6).

    norms, directions = penalty(model, model_state, first=step == 0)

The penalty is the sum of the largest singular values of a model's convolutions. Power iteration
estimates each of them, starting from the singular vector that the last step found. These vectors,
the directions, are kept in the model's state, so that a resumed run continues from the same ones.
Kernels of the same shape are stacked; their directions are one array
"objective.spectral.ROWSxCOLUMNS" [n columns].
"""

import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from pipeline.core.parameters import Abstract, Arrays, ModelDef
from pipeline.nn.conv import Conv
from pipeline.nn.norm import BatchNorm

PREFIX = "objective.spectral."
# Power iterations in each step, and in the first step.
ROUNDS, FIRST_ROUNDS = 4, 40


def penalty(
    model: nnx.Module, model_state: Mapping[str, Any], *, first: Bool[Array, ""] | bool
) -> tuple[Float[Array, ""], Arrays]:
    """Return the penalty, and the new directions to store in `model_state`.

    The penalty is the sum of the convolutions' spectral norms and of each batch norm's largest
    |scale|. A kernel [height, width, in, out] is treated as the matrix [height * width * in, out].
    Gradients flow through the kernels, not through the directions.
    """
    total, directions = jnp.zeros((), jnp.float32), {}
    rounds = jnp.where(first, FIRST_ROUNDS, ROUNDS)
    for name, kernels in _stacked(model).items():
        fixed = jax.lax.stop_gradient(kernels)

        def turn(_: Any, right: Array, fixed: Array = fixed) -> Array:
            left = _unit(jnp.einsum("nrc,nc->nr", fixed, right))
            return _unit(jnp.einsum("nrc,nr->nc", fixed, left))

        right = jax.lax.fori_loop(0, rounds, turn, model_state[name])
        left = _unit(jnp.einsum("nrc,nc->nr", fixed, right))
        total += jnp.einsum("nr,nrc,nc->", left, kernels, right)
        directions[name] = right
    norms = [node for _, node in nnx.iter_graph(model) if isinstance(node, BatchNorm)]
    return total + sum(
        (jnp.abs(norm.scale[...]).max() for norm in norms), jnp.zeros(())
    ), directions


def shapes(
    modeldef: ModelDef, params: Mapping[str, Any], model_state: Mapping[str, Any]
) -> Abstract:
    """Return the shape of each array of a model's directions, by name."""
    stacks = jax.eval_shape(
        lambda params, model_state: _stacked(modeldef.merge(params, model_state)),
        params,
        model_state,
    )
    return {
        name: jax.ShapeDtypeStruct((stack.shape[0], stack.shape[2]), jnp.float32)
        for name, stack in stacks.items()
    }


def completed(model_state: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return `model_state` with the missing directions of `wanted` added.

    A missing direction is a random unit vector, seeded with the name of its array.
    """
    missing = [name for name in wanted if name.startswith(PREFIX) and name not in model_state]
    return dict(model_state) | {name: _random(name, wanted[name].shape) for name in missing}


def _stacked(model: nnx.Module) -> dict[str, Float[Array, "n r c"]]:
    """Return the kernels as matrices, stacked by shape and sorted by name within a stack."""
    found: dict[str, Array] = {}
    for path, node in nnx.iter_graph(model):
        if isinstance(node, Conv):
            weight = node.weight().astype(jnp.float32)
            found[".".join(map(str, path))] = weight.reshape(-1, weight.shape[-1])
    groups: dict[str, list[Array]] = {}
    for name in sorted(found):
        rows, columns = found[name].shape
        groups.setdefault(f"{PREFIX}{rows}x{columns}", []).append(found[name])
    return {name: jnp.stack(kernels) for name, kernels in groups.items()}


def _unit(vectors: Float[Array, "n c"]) -> Float[Array, "n c"]:
    return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _random(name: str, shape: tuple[int, ...]) -> np.ndarray:
    vectors = (
        np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    )
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)

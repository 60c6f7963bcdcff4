"""Models split into a static definition and flat dicts of arrays.

Checkpoints, safetensors, sharding rules and error messages use the flat names, such as
"decoder.blocks.0.c1.kernel". The definition is hashable, so that jit can close over it, and no nnx
object has to live in a training loop.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Shaped

Arrays = dict[str, Shaped[Array, "..."]]
Abstract = dict[str, jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True)
class ModelDef:
    """A model without its arrays."""

    graphdef: Any
    params: Any  # tree structures of the two states; their leaves are named below
    model_state: Any
    param_names: tuple[str, ...]
    other_names: tuple[str, ...]

    def merge(self, params: Mapping[str, Any], model_state: Mapping[str, Any] | None = None) -> Any:
        """Return the model with these arrays.

        Raises:
          KeyError: an array is missing.
        """
        model_state = model_state or {}
        return nnx.merge(
            self.graphdef,
            jax.tree.unflatten(self.params, [params[name] for name in self.param_names]),
            jax.tree.unflatten(self.model_state, [model_state[name] for name in self.other_names]),
        )

    def skeleton(self) -> Any:
        """Return the model without arrays, to read its settings, such as `latent_shapes`."""
        return self.merge(dict.fromkeys(self.param_names), dict.fromkeys(self.other_names))


def split(model: nnx.Module) -> tuple[ModelDef, dict[str, Any], dict[str, Any]]:
    """Split a model into its definition, its parameters and its other variables, both by name.

    Other variables are running statistics and codebooks, for example.
    """
    graphdef, params, model_state = nnx.split(model, nnx.Param, ...)
    params, params_tree = _flatten(params)
    model_state, model_state_tree = _flatten(model_state)
    return (
        ModelDef(graphdef, params_tree, model_state_tree, tuple(params), tuple(model_state)),
        params,
        model_state,
    )


def abstract(create: Callable[[], nnx.Module]) -> tuple[ModelDef, Abstract, Abstract]:
    """Return `split(create())` with shapes in place of arrays, without allocating any."""
    return split(nnx.eval_shape(create))


def _flatten(state: Any) -> tuple[dict[str, Any], Any]:
    leaves, tree = jax.tree_util.tree_flatten_with_path(state)
    # The last entry of a path is the variable's `value`.
    return {".".join(str(entry.key) for entry in path[:-1]): leaf for path, leaf in leaves}, tree

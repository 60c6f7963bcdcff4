"""Conversion between a TrainState and the named arrays of a checkpoint: {part: {name: array}}."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from pipeline.training.state.train_state import TrainState

Tree = dict[str, dict[str, Any]]  # part of the state -> name -> array or its shape

_COUNTERS = ("step", "skipped", "consecutive_large_grads", "consecutive_nonfinite")


def to_tree(state: TrainState) -> Tree:
    """Return the named arrays of a state, or the named shapes of an abstract one."""
    return {
        "params": dict(state.params),
        "ema": dict(state.ema),
        "model_state": dict(state.model_state),
        "opt_state": _named(state.opt_state),
        "counters": {name: getattr(state, name) for name in _COUNTERS},
        "discriminator": _named(state.discriminator),
    }


def from_tree(shapes: TrainState, tree: Tree) -> TrainState:
    """Return the state with these arrays and the structure of `shapes`."""
    return TrainState(
        params=tree["params"],
        ema=tree["ema"],
        model_state=tree.get("model_state", {}),
        opt_state=_restored(shapes.opt_state, tree.get("opt_state", {})),
        discriminator=_restored(shapes.discriminator, tree.get("discriminator", {})),
        **tree["counters"],
    )


def flat(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return {"part.name": array}."""
    return {
        f"{part}.{name}": leaf for part, leaves in tree.items() for name, leaf in leaves.items()
    }


def described(tree: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return {"part.name": "float32[3, 4]"}."""
    return {
        name: f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for name, leaf in flat(tree).items()
    }


def without_empty(tree: Tree) -> Tree:
    """Return the tree without its empty parts, which Orbax does not save."""
    return {part: leaves for part, leaves in tree.items() if leaves}


def _restored(shapes: Any, arrays: Mapping[str, Any]) -> Any:
    return jax.tree.unflatten(jax.tree.structure(shapes), [arrays[name] for name in _named(shapes)])


def _named(tree: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}

"""The outputs of named layers inside a model, for losses that compare them."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from flax import nnx

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError


class _Tap(nnx.Module):
    """A layer that keeps its output."""

    def __init__(self, layer: nnx.Module, name: str, found: dict[str, Any]):
        self.layer = layer
        self.keep = _Keep(name, found)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.layer(*args, **kwargs)  # pyright: ignore[reportCallIssue]
        self.keep(output)
        return output


class _Keep:
    """Stores an output under a name; an object of its own, because nnx copies plain containers."""

    def __init__(self, name: str, found: dict[str, Any]):
        self.name, self.found = name, found

    def __call__(self, output: Any) -> None:
        self.found[self.name] = output[0] if isinstance(output, tuple) else output


@contextlib.contextmanager
def tapped(model: nnx.Module, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Collect the outputs of layers while the model runs, by name, such as "decoder.stages.1".

    A layer that runs several times keeps its last output; of a layer that returns several, the
    first is kept. The model is as before when the context ends. Layers inside a recomputed block
    (remat) cannot be tapped: their outputs do not exist outside it.

    Raises:
      ConfigError: the model has no such layer; the message names the nearest.
    """
    found: dict[str, Any] = {}
    places = [_place(model, name) for name in names]
    for (parent, key), name in zip(places, names):
        _set(parent, key, _Tap(_get(parent, key), name, found))
    try:
        yield found
    finally:
        for parent, key in places:
            _set(parent, key, _get(parent, key).layer)


def layer_names(model: nnx.Module) -> list[str]:
    """Return the names of all layers inside a model."""
    return [
        ".".join(map(str, path))
        for path, node in nnx.iter_graph(model)
        if path and isinstance(node, nnx.Module) and callable(node)
    ]


def _place(model: Any, name: str) -> tuple[Any, str]:
    *path, last = name.split(".")
    node = model
    try:
        for part in path:
            node = _get(node, part)
        layer = _get(node, last)
    except (AttributeError, IndexError, KeyError, ValueError, TypeError):
        layer = None
    if not callable(layer):
        raise ConfigError(
            f"{type(model).__name__} has no layer {name!r}: "
            f"{nearest(name, layer_names(model))[:300]}"
        )
    return node, last


def _get(node: Any, key: str) -> Any:
    return node[int(key)] if key.isdigit() else getattr(node, key)


def _set(node: Any, key: str, value: Any) -> None:
    if key.isdigit():
        node[int(key)] = value
    else:
        setattr(node, key, value)

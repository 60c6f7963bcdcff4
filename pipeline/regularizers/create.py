"""Regularizers by their names in a recipe."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.core.construct import (
    check_arguments,
    default_arguments,
    load,
    modules_of,
    nearest,
)
from pipeline.core.errors import ConfigError
from pipeline.regularizers.base import Regularizers

PACKAGE = "pipeline.regularizers"
SUPPLIED = ("latent_channels", "where")


def names() -> tuple[str, ...]:
    """Return the names of all regularizers."""
    return tuple(name for name in modules_of(PACKAGE) if name not in ("base", "create"))


def arguments_of(name: str) -> Callable[..., Any] | None:
    """Return the function that takes the keys of `config.regularizers.NAME`; None if unknown."""
    return getattr(load(PACKAGE, name, where=""), name) if name in names() else None


def default_keys() -> dict[str, Any]:
    """Return every key that config.regularizers may have, with its defaults."""
    found = {}
    for name in names():
        function = arguments_of(name)
        assert function is not None
        arguments = default_arguments(function)
        found[name] = {key: value for key, value in arguments.items() if key not in SUPPLIED}
    return found


def create(
    recipe: Mapping[str, Any], *, latent_channels: int, where: str = "config.regularizers"
) -> Regularizers:
    """Return the regularizers of a recipe, in its order.

    Raises:
      ConfigError: an unknown name or argument.
    """
    parts = []
    for name, given in recipe.items():
        own = f"{where}.{name}"
        function = arguments_of(name)
        if function is None:
            raise ConfigError(f"{own} is not a regularizer: {nearest(name, names())}")
        if not isinstance(given, Mapping):
            raise ConfigError(f"{own}={given!r} must be a dict of its arguments")
        check_arguments(function, given, where=own, given=SUPPLIED)
        supplied = {"where": own, "latent_channels": latent_channels}
        taken = default_arguments(function)
        supplied = {key: value for key, value in supplied.items() if key in taken}
        parts.append((name, function(**given, **supplied)))
    return Regularizers(tuple(parts))

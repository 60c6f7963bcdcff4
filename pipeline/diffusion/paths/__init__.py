"""Paths from data to noise, found by name: `dict(name="cosine.Cosine")`.

    x_t = alpha(t) x + sigma(t) e,    e ~ N(0, I),    t from 0 (data) to 1 (noise)

Each file has one path, a frozen dataclass over `base.Path` with its `alpha` and `sigma`; everything
else (the signal-to-noise ratio, the coefficients of the stochastic differential equation, steps
between two times) follows from these two. tests/diffusion/paths_test.py checks each one.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.core.construct import construct
from pipeline.diffusion.paths.base import Path

PACKAGE = "pipeline.diffusion.paths"


def create(recipe: Mapping[str, Any], *, where: str = "path") -> Path:
    """Build the path that a recipe names.

    Raises:
      ConfigError: an unknown name or key, or a wrong value.
    """
    return construct(PACKAGE, recipe, where=where)

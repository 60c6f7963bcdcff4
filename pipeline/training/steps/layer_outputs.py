"""Outputs of named layers, which an objective's terms and a teacher's compare."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs
from pipeline.losses.teacher import FEATURES


def with_layers(
    outputs: Outputs,
    found: Mapping[str, Any],
    *,
    of_terms: Sequence[str],
    of_teacher: Sequence[str],
) -> Outputs:
    """Return the outputs with aux["layers"], by name, and if there are any the teacher's, in order.

    Args:
      found: outputs of layers by name (pipeline.losses.taps).

    Raises:
      ConfigError: a layer did not run.
    """
    missing = [name for name in (*of_terms, *of_teacher) if name not in found]
    if missing:
        raise ConfigError(
            f"the model does not run its layer {missing[0]!r} where a loss can read it; layers "
            "inside recomputed blocks need config.model.remat=False"
        )
    compared: dict[str, Any] = {"layers": {name: found[name] for name in of_terms}}
    if of_teacher:
        compared[FEATURES] = tuple(found[name] for name in of_teacher)
    return dataclasses.replace(outputs, aux=outputs.aux | compared)

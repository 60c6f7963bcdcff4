"""Which arrays of a model a run trains, by regular expressions on their names.

A frozen array has no gradient, no moments in the optimizer's state, no EMA and no update, and a
frozen batch normalization works as in evaluation, or else the frozen part would give other values
than the codec that it comes from.
"""

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from flax import nnx

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError
from pipeline.nn.norm import BatchNorm

# Names of what is trained with a model and belongs to the objective.
OBJECTIVE = "objective."


@dataclasses.dataclass(frozen=True)
class Trainable:
    """The trained arrays: those in whose name a pattern is found, or all without patterns.

    Arrays of the objective, such as a learned variance, are always trained.
    """

    patterns: tuple[str, ...] = ()

    def trains(self, name: str) -> bool:
        """Return whether an array is trained."""
        if not self.patterns or name.startswith(OBJECTIVE):
            return True
        return any(re.search(pattern, name) for pattern in self.patterns)

    def split(self, arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the trained arrays, and the frozen ones."""
        trained = {name: array for name, array in arrays.items() if self.trains(name)}
        return trained, {name: array for name, array in arrays.items() if name not in trained}

    def held(self, model: Any) -> Any:
        """Return a new model whose frozen normalizations use their running statistics."""
        for path, node in nnx.iter_graph(model):
            if isinstance(node, BatchNorm):
                node.frozen = not self.trains(".".join(map(str, (*path, "scale"))))
        return model

    def check(self, names: Iterable[str]) -> None:
        """Check that each pattern is found in a name of the model's arrays.

        Raises:
          ConfigError: a pattern is found in none; the message has the nearest name.
        """
        names = list(names)
        for pattern in self.patterns:
            if not any(re.search(pattern, name) for name in names):
                beginnings = sorted({".".join(name.split(".")[:2]) for name in names})
                raise ConfigError(
                    f"config.trainable: {pattern!r} is found in no array of the model: "
                    f"{nearest(_as_name(pattern), [*names, *beginnings])[:300]}"
                )


ALL = Trainable()


@functools.cache
def _as_name(pattern: str) -> str:
    """Return a pattern without the signs of regular expressions, to compare with names."""
    return re.sub(r"[\\^$*+?()\[\]{}|]", "", pattern)

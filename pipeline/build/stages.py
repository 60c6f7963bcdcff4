"""config.stages -> the stages of a run: where each begins, and what it changes in the recipe.

    config.stages = [
        dict(num_steps=800_000),
        {
            "num_steps": 200_000,
            "data.num_frames": 49,
            "model.num_frames": 49,
            "reset_discriminator": True,
        },
    ]

The state carries over from one stage to the next; data, step and evaluation are the stage's own.
The stage of a step depends on the step's number alone, so a run can resume in any stage.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError

# Keys of a stage that are not keys of a recipe, and sections of a recipe that a stage may change.
_OWN = ("num_steps", "reset_discriminator")
CHANGEABLE = (
    "data",
    "model",
    "objective",
    "optimizer",
    "discriminator",
    "batch_size",
    "grad_accum_steps",
    "eval",
    "sample",
)


@dataclasses.dataclass(frozen=True)
class Stage:
    """Steps begin + 1 to end of a run.

    Attributes:
      config: the complete recipe with this stage's changes.
      reset_discriminator: whether the stage starts with a newly initialized discriminator.
    """

    number: int
    begin: int
    end: int
    config: Mapping[str, Any]
    reset_discriminator: bool = False


def split(config: Mapping[str, Any]) -> list[Stage]:
    """Return the stages of a complete recipe: a single one if config.stages is empty.

    Raises:
      ConfigError: a stage has an unknown key, or the lengths do not add up to num_steps.
    """
    given = config["stages"]
    if not given:
        return [Stage(0, 0, config["num_steps"], config)]
    stages, begin = [], 0
    for number, changes in enumerate(given):
        where = f"config.stages[{number}]"
        if not isinstance(changes, Mapping) or "num_steps" not in changes:
            raise ConfigError(
                f"{where} must be a dict with num_steps, its length in steps: {changes!r}"
            )
        length = changes["num_steps"]
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ConfigError(f"{where}.num_steps={length!r} must be 1 or more, an integer")
        if not isinstance(changes.get("reset_discriminator", False), bool):
            raise ConfigError(f"{where}.reset_discriminator must be True or False")
        reset = changes.get("reset_discriminator", False)
        if reset and not config["discriminator"]:
            raise ConfigError(
                f"{where}.reset_discriminator: there is none, because config.discriminator is empty"
            )
        own = _changed(config, changes, where)
        stages.append(Stage(number, begin, begin + changes["num_steps"], own, bool(reset)))
        begin += changes["num_steps"]
    if begin != config["num_steps"]:
        raise ConfigError(
            f"config.stages have {begin} steps together, and "
            f"config.num_steps={config['num_steps']}: make them equal"
        )
    return stages


def _changed(config: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    result = copy.deepcopy(dict(config))
    result["stages"] = []
    for key, value in changes.items():
        if key in _OWN:
            continue
        first, *path = key.split(".")
        if first not in CHANGEABLE:
            raise ConfigError(
                f"{where}: {key!r} cannot be changed by a stage: "
                f"{nearest(first, (*CHANGEABLE, *_OWN))}"
            )
        node, names = result, [first, *path]
        for name in names[:-1]:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{where}: {key!r}: {name} is a single value")
        node[names[-1]] = value
    return result

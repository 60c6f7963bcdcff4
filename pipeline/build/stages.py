"""A run in stages: where each begins, and what it changes of the recipe.

    config.stages = [
        dict(num_steps=800_000),
        {"num_steps": 200_000, "data.num_frames": 49, "model.num_frames": 49, "reset_discriminator": True},
    ]

The state goes on from one stage to the next; the data, the step and the reports are those of the stage. Which stage a
step belongs to is a matter of its number alone, so that a run resumes in any of them.
"""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.core.construct import nearest
from pipeline.core.errors import ConfigError

# Keys of a stage that are its own, and parts of a recipe that it may change.
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
    """Steps begin + 1 to end, the recipe as it is for them, and whether they start with a new discriminator."""

    number: int
    begin: int
    end: int
    settings: Mapping[str, Any]
    reset_discriminator: bool = False


def split(settings: Mapping[str, Any]) -> list[Stage]:
    """The stages of a complete recipe; one of its whole length where it names none.

    Raises:
      ConfigError: a key that no stage has, or lengths that do not add up to num_steps.
    """
    given = settings["stages"]
    if not given:
        return [Stage(0, 0, settings["num_steps"], settings)]
    stages, begin = [], 0
    for number, changes in enumerate(given):
        where = f"config.stages[{number}]"
        if not isinstance(changes, Mapping) or not isinstance(changes.get("num_steps"), int):
            raise ConfigError(
                f"{where} must be a dict with num_steps, its length in steps: {changes!r}"
            )
        if changes["num_steps"] < 1:
            raise ConfigError(f"{where}.num_steps={changes['num_steps']} must be 1 or more")
        reset = changes.get("reset_discriminator", False)
        if reset and not settings["discriminator"]:
            raise ConfigError(
                f"{where}.reset_discriminator: there is none, for config.discriminator is empty"
            )
        own = _changed(settings, changes, where)
        stages.append(Stage(number, begin, begin + changes["num_steps"], own, bool(reset)))
        begin += changes["num_steps"]
    if begin != settings["num_steps"]:
        raise ConfigError(
            f"config.stages have {begin} steps together, and config.num_steps={settings['num_steps']}: make them equal"
        )
    return stages


def stage_of(stages: list[Stage], step: int) -> Stage:
    """The stage that a step, from 1 on, belongs to; of a step beyond the last one, the last."""
    return next((stage for stage in stages if step <= stage.end), stages[-1])


def _changed(settings: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    result = copy.deepcopy(dict(settings))
    result["stages"] = []
    for key, value in changes.items():
        if key in _OWN:
            continue
        first, *path = key.split(".")
        if first not in CHANGEABLE:
            raise ConfigError(
                f"{where}: {key!r} is not for a stage to change: {nearest(first, (*CHANGEABLE, *_OWN))}"
            )
        node, names = result, [first, *path]
        for name in names[:-1]:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise ConfigError(f"{where}: {key!r}: {name} is a single value")
        node[names[-1]] = value
    return result

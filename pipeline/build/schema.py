"""The keys of a recipe: which exist, which are required, their defaults and their types."""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from pipeline.build import data, stages
from pipeline.build.model import DTYPES
from pipeline.build.optimizer import optimizer_update
from pipeline.core.construct import accepts, default_arguments, find, nearest
from pipeline.core.errors import ConfigError
from pipeline.losses import objective
from pipeline.training.steps.adversarial import GanConfig

REQUIRED = ("num_steps", "batch_size", "data", "model", "optimizer")
# All other keys of a recipe, with the value that a recipe without the key gets.
DEFAULTS: dict[str, Any] = {
    "seed": 0,
    "dtype": "float32",
    "grad_accum_steps": 1,
    "ema": 0.9999,
    "step": "elbo",
    "objective": {},  # objective.DEFAULTS of the step
    "discriminator": {},
    "stages": [],
    "mesh": {"replica": 1, "fsdp": -1, "context": 1},
    "sharding": {},
    "checkpoint": {
        "every": 1000,
        "keep": 3,
        "keep_every": 0,
        "best": "",
        "keep_best": 1,
        "max_failures": 3,
        "folder": "",
    },
    "eval": {"every": 0, "num_examples": 256, "batch_size": 0},
    "log": {"every": 50},
    "sample": {"every": 0, "num": 16},
    "divergence": {"patience": 20, "spike_sigma": 20.0, "max_rollbacks": 3},
    "watchdog": {"minutes": 30.0},
    "preemption": {"grace_seconds": 0.0},
}
# Sections whose keys are all in DEFAULTS; the keys of the others are arguments of what they build.
_FIXED_SECTIONS = (
    "mesh",
    "checkpoint",
    "eval",
    "log",
    "sample",
    "divergence",
    "watchdog",
    "preemption",
)
STEPS = ("elbo", "adversarial")


def complete(config: ConfigDict) -> dict[str, Any]:
    """Return the recipe as plain dicts with every key present: the form that is saved and compared.

    Raises:
      ConfigError: a key is unknown or missing, or a value is impossible.
    """
    given = config.to_dict()
    known = (*REQUIRED, *DEFAULTS)
    for key in given:
        if key not in known:
            raise ConfigError(f"config.{key} is not a key of a recipe: {nearest(key, known)}")
    for key in REQUIRED:
        if key not in given:
            raise ConfigError(f"config.{key} is missing")
    full = {key: given.get(key, default) for key, default in DEFAULTS.items()} | {
        key: given[key] for key in REQUIRED
    }
    if full["step"] not in STEPS:
        raise ConfigError(f"config.step={full['step']!r}: {nearest(str(full['step']), STEPS)}")
    full["objective"] = full["objective"] or objective.DEFAULTS[full["step"]]
    full["stages"] = list(full["stages"])
    for key in _FIXED_SECTIONS:
        for name in full[key]:
            if name not in DEFAULTS[key]:
                raise ConfigError(
                    f"config.{key}.{name} is not known: {nearest(name, DEFAULTS[key])}"
                )
        full[key] = DEFAULTS[key] | full[key]
    full["eval"]["batch_size"] = full["eval"]["batch_size"] or full["batch_size"]
    for key in ("num_steps", "batch_size"):
        if not isinstance(full[key], int) or full[key] < 1:
            raise ConfigError(f"config.{key}={full[key]!r} must be an integer above 0")
    if full["dtype"] not in DTYPES:
        raise ConfigError(f"config.dtype={full['dtype']!r}: {nearest(str(full['dtype']), DTYPES)}")
    stages.split(full)  # raises for stages that are impossible
    return full


def defaults(config: ConfigDict, section: str) -> dict[str, Any]:
    """Return the optional keys of a section ("" for the top level) with their defaults."""
    if not section:
        return DEFAULTS | {"objective": objective.DEFAULTS.get(str(config.get("step", "elbo")), {})}
    if section == "objective":
        return objective.default_keys() | {"adversarial": default_arguments(GanConfig)}
    found = _target(config, section)
    if found is None:
        return DEFAULTS.get(section, {})
    target, given = found
    return {key: value for key, value in default_arguments(target).items() if key not in given}


def takes(config: ConfigDict, section: str, key: str, value: Any) -> bool:
    """Return whether a key of a section ("" for the top level) accepts a value of this type."""
    found = _target(config, section)
    if found is None:
        known = DEFAULTS.get(section, {}) if section else DEFAULTS
        return isinstance(value, type(known.get(key)))
    return accepts(found[0], key, value)


def _target(config: ConfigDict, section: str) -> tuple[Callable[..., Any], tuple[str, ...]] | None:
    """Return the function that takes a section's keys, and its arguments that are not keys.

    None means that all keys of the section are in DEFAULTS.
    """
    if section == "data":
        return data.dataset_class(config.to_dict().get("data", {}).get("source")), ()
    targets: dict[str, Any] = {
        "optimizer": optimizer_update,
        "discriminator.optimizer": optimizer_update,
        "objective": objective.settings,
        "objective.adversarial": GanConfig,
    }
    if section in targets:
        return targets[section], ("num_steps", "ema", "where")
    if section.startswith("objective."):
        term = objective.arguments_of(section.removeprefix("objective."))
        return None if term is None else (term, objective.SUPPLIED)
    if section in ("model", "discriminator"):
        package = {"model": "pipeline.models", "discriminator": "pipeline.discriminators"}[section]
        name = str(config.to_dict().get(section, {}).get("name"))
        return find(package, name, where=section), ("rngs", "dtype", "in_channels")
    above, _, part = section.partition(".")
    if above == "model":
        model = config.to_dict().get("model", {})
        whole: Any = find("pipeline.models", str(model.get("name")), where="model")
        packages = getattr(whole, "parts", {})
        if part in packages:
            name = str(model.get(part, {}).get("name"))
            return find(packages[part], name, where=section), whole.given
    return None

"""The keys of a recipe: which exist, which are required, their defaults and their types."""

from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from pipeline.build import data, init, limits, stages, teacher
from pipeline.build.discriminator import gan_config
from pipeline.build.importance import importance_config
from pipeline.build.latent_adversarial import latent_adversarial_config
from pipeline.build.model import DTYPES, regularizers_of
from pipeline.build.optimizer import discriminator_update, optimizer_update, update
from pipeline.core.construct import accepts, default_arguments, find, nearest
from pipeline.core.errors import ConfigError, one_line
from pipeline.losses import objective
from pipeline.regularizers import create as regularizers
from pipeline.training.steps.gan_config import GanConfig
from pipeline.training.steps.importance_weighted import ImportanceConfig
from pipeline.training.steps.latent_adversarial import LatentAdversarialConfig

REQUIRED = ("num_steps", "batch_size", "data", "model", "optimizer")
# All other keys of a recipe, with the value that a recipe without the key gets.
DEFAULTS: dict[str, Any] = {
    "seed": 0,
    "dtype": "float32",
    "grad_accum_steps": 1,
    "ema": 0.9999,
    "trainable": "",
    "init": {},
    "latent_cache": "",
    "teacher": {},
    "regularizers": {},
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
_SECTIONS = (
    "data",
    "init",
    "teacher",
    "regularizers",
    "model",
    "optimizer",
    "objective",
    "discriminator",
    "sharding",
)
_SECTIONS += _FIXED_SECTIONS
STEPS = ("elbo", "adversarial", "vae_gan")


def complete(config: ConfigDict) -> dict[str, Any]:
    """Return the recipe as plain dicts with every key present: the form that is saved and compared.

    Raises:
      ConfigError: a key is unknown or missing, or a value is impossible.
    """
    given = plain(config)
    known = (*REQUIRED, *DEFAULTS)
    for key in given:
        if key not in known:
            raise ConfigError(f"config.{key} is not a key of a recipe: {nearest(key, known)}")
    given |= {"model": init.model_of(given)} if "init" in given else {}
    for key in REQUIRED:
        if key not in given:
            raise ConfigError(f"config.{key} is missing")
    full = {key: given.get(key, default) for key, default in DEFAULTS.items()} | {
        key: given[key] for key in REQUIRED
    }
    _check_sections(full)
    if full["step"] not in STEPS:
        raise ConfigError(f"config.step={full['step']!r}: {nearest(str(full['step']), STEPS)}")
    if full["objective"] == {}:
        full["objective"] = objective.DEFAULTS[full["step"]]
    full["stages"] = list(full["stages"])
    for key in _FIXED_SECTIONS:
        full[key] = DEFAULTS[key] | full[key]
    limits.whole_numbers(full)
    limits.check(full)
    if full["eval"]["batch_size"] == 0:
        full["eval"]["batch_size"] = full["batch_size"]
    if full["dtype"] not in DTYPES:
        raise ConfigError(f"config.dtype={full['dtype']!r}: {nearest(full['dtype'], DTYPES)}")
    for stage in stages.split(full):  # raises for stages that are impossible
        if full["stages"]:
            where = f"config.stages[{stage.number}]"
            _check_sections(stage.config, where=where)
            limits.check(stage.config, where=where)
        _check_settings(stage.config)
    return full


def _check_settings(config: Mapping[str, Any]) -> None:
    """Check names and types of the settings of what needs no model to be built."""
    data.check_settings(config["data"])
    init.of(config)
    teacher.of(config)
    regularizers_of(config)
    update(config)
    objective.check_keys(config["objective"])
    gan_config(config)
    importance_config(config)
    latent_adversarial_config(config)
    if config["discriminator"]:
        discriminator_update(config)


def plain(config: ConfigDict) -> dict[str, Any]:
    """Return a recipe as plain dicts, as far as it is given.

    Raises:
      ConfigError: a value is missing that the recipe requires, or of no plain type, or not finite.
    """
    try:
        given = config.to_dict()
    except Exception as error:  # placeholders of ml_collections
        words = one_line(error)
        raise ConfigError(f"config: a value of the recipe cannot be used: {words}") from None
    limits.check_plain(given)
    return given


def _check_sections(full: Mapping[str, Any], *, where: str = "config") -> None:
    """Check that sections are dicts, and that the keys of those in DEFAULTS are known."""
    for key in _SECTIONS:
        if not isinstance(full[key], dict):
            raise ConfigError(f"{where}.{key}={full[key]!r} must be a dict")
    if not isinstance(full["stages"], list | tuple):
        raise ConfigError(f"{where}.stages={full['stages']!r} must be a list of dicts")
    for key in _FIXED_SECTIONS:
        for name in full[key]:
            if name not in DEFAULTS[key]:
                raise ConfigError(
                    f"{where}.{key}.{name} is not known: {nearest(name, DEFAULTS[key])}"
                )
    if not isinstance(full["model"].get("name"), str):
        raise ConfigError(
            f"{where}.model.name is missing: name a class of pipeline.models, or give the codec "
            "to start from: --config.init.codec=CODEC"
        )
    if not isinstance(full["discriminator"].get("optimizer", {}), dict):
        raise ConfigError(f"{where}.discriminator.optimizer must be a dict")


def defaults(config: ConfigDict, section: str) -> dict[str, Any]:
    """Return the optional keys of a section ("" for the top level) with their defaults."""
    if not section:
        return DEFAULTS | {"objective": objective.DEFAULTS.get(str(config.get("step", "elbo")), {})}
    if section == "objective":
        return objective.default_keys() | {
            "adversarial": default_arguments(GanConfig),
            "importance": default_arguments(ImportanceConfig),
            "latent_adversarial": default_arguments(LatentAdversarialConfig),
        }
    if section == "regularizers":
        return regularizers.default_keys()
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
        return key in known and isinstance(value, type(known[key]))
    return accepts(found[0], key, value)


def _target(config: ConfigDict, section: str) -> tuple[Callable[..., Any], tuple[str, ...]] | None:
    """Return the function that takes a section's keys, and its arguments that are not keys.

    None means that all keys of the section are in DEFAULTS.
    """
    if section == "data":
        return data.dataset_class(plain(config).get("data", {}).get("source")), ()
    targets: dict[str, Any] = {
        "init": init.settings,
        "teacher": teacher.settings,
        "optimizer": optimizer_update,
        "discriminator.optimizer": optimizer_update,
        "objective": objective.settings,
        "objective.adversarial": GanConfig,
        "objective.importance": ImportanceConfig,
        "objective.latent_adversarial": LatentAdversarialConfig,
    }
    if section in targets:
        return targets[section], ("num_steps", "ema", "where")
    if section.startswith("objective."):
        term = objective.arguments_of(section.removeprefix("objective."))
        return None if term is None else (term, objective.SUPPLIED)
    if section.startswith("regularizers."):
        part = regularizers.arguments_of(section.removeprefix("regularizers."))
        return None if part is None else (part, regularizers.SUPPLIED)
    if section in ("model", "discriminator"):
        package = {"model": "pipeline.models", "discriminator": "pipeline.discriminators"}[section]
        recipe = plain(config)
        part = init.model_of(recipe) if section == "model" else recipe.get(section, {})
        name = str(part.get("name"))
        return find(package, name, where=section), ("rngs", "dtype", "in_channels")
    above, _, part = section.partition(".")
    if above == "model":
        model = init.model_of(plain(config))
        whole: Any = find("pipeline.models", str(model.get("name")), where="model")
        packages = getattr(whole, "parts", {})
        if part in packages:
            name = str(model.get(part, {}).get("name"))
            return find(packages[part], name, where=section), whole.given
    return None

"""A recipe -> the objects of a run. Where config keys become keyword arguments; nothing below reads a config."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from pipeline import models
from pipeline.build import stages
from pipeline.core import parameters
from pipeline.core.construct import (
    accepts,
    check_arguments,
    construct,
    default_arguments,
    find,
    nearest,
)
from pipeline.core.errors import ConfigError
from pipeline.core.parameters import ModelDef
from pipeline.data.videos.buckets import shapes_of
from pipeline.losses import adversarial, codec, elbo
from pipeline.training import optim
from pipeline.training.state import mesh as meshes
from pipeline.training.state import train_state as states
from pipeline.training.state.train_state import Extras, TrainState
from pipeline.training.steps.adversarial import LECAM, AdversarialStep, GanConfig
from pipeline.training.steps.elbo import ElboStep
from pipeline.training.update import Update

REQUIRED = ("num_steps", "batch_size", "data", "model", "optimizer")
# Every other key of a recipe, with the value that a recipe without it gets.
DEFAULTS: dict[str, Any] = {
    "seed": 0,
    "dtype": "float32",
    "grad_accum_steps": 1,
    "ema": 0.9999,
    "step": "elbo",
    "objective": {"beta": 1.0},
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
# Sections whose keys are all here; those of the others are the arguments of what they build.
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
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def complete(config: ConfigDict) -> dict[str, Any]:
    """The recipe as plain dicts, with every key there; the form that is saved and compared.

    Raises:
      ConfigError: an unknown or missing key, or a value that cannot be.
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
    if full["step"] != "elbo" and "objective" not in given:
        full["objective"] = {}
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
            raise ConfigError(f"config.{key}={full[key]!r} must be a whole number above 0")
    if full["dtype"] not in DTYPES:
        raise ConfigError(f"config.dtype={full['dtype']!r}: {nearest(str(full['dtype']), DTYPES)}")
    stages.split(full)  # what cannot be is an error now
    return full


def defaults(config: ConfigDict, section: str) -> dict[str, Any]:
    """The keys that a recipe may leave out of a section ("" for the top), and their defaults."""
    found = _target(config, section)
    if found is None:
        return DEFAULTS.get(section, {}) if section else DEFAULTS
    target, given = found
    return {key: value for key, value in default_arguments(target).items() if key not in given}


def takes(config: ConfigDict, section: str, key: str, value: Any) -> bool:
    """Whether a key of a section ("" for the top) can have a value of this type."""
    found = _target(config, section)
    if found is None:
        known = DEFAULTS.get(section, {}) if section else DEFAULTS
        return isinstance(value, type(known.get(key)))
    return accepts(found[0], key, value)


def _target(config: ConfigDict, section: str) -> tuple[Callable[..., Any], tuple[str, ...]] | None:
    """What a section's keys are the arguments of, and those that are not the recipe's; None where all are DEFAULTS."""
    alone = config.get("step", "elbo") == "elbo"
    targets: dict[str, Any] = {
        "data": _data_class(config.to_dict().get("data", {}).get("source")),
        "optimizer": _update,
        "discriminator.optimizer": _update,
        "objective": elbo.elbo if alone else codec.codec,
        "objective.perceptual": codec.perceptual_distance,
        "objective.adversarial": GanConfig,
        "objective.compatibility": codec.compatibility,
    }
    if section in targets:
        return targets[section], ("num_steps", "ema", "where")
    if section in ("model", "discriminator"):
        package = {"model": "pipeline.models", "discriminator": "pipeline.discriminators"}[section]
        name = str(config.to_dict().get(section, {}).get("name"))
        return find(package, name, where=section), ("rngs", "dtype", "in_channels")
    return None


def _data_class(source: Any) -> Any:
    """Return VideoData for a source of videos, and ImageData for every other."""
    from pipeline.data import sources

    # Imported here, so that `strata bench train` needs no Grain.
    if isinstance(source, str) and sources.modality_of(source) == "video":
        from pipeline.data.videos.video_data import VideoData

        return VideoData
    from pipeline.data.images.image_data import ImageData

    return ImageData


def data(config: Mapping[str, Any]) -> Any:
    """The dataset that config.data describes: an ImageData, or a VideoData where data.source is of videos."""
    settings = config["data"]
    dataset = _data_class(settings.get("source"))
    check_arguments(dataset, settings, where="data")
    return dataset(**settings)


def model_maker(config: dict[str, Any]) -> Callable[[nnx.Rngs], nnx.Module]:
    """rngs -> the model that config.model names."""
    return lambda rngs: models.create(config["model"], rngs=rngs, dtype=DTYPES[config["dtype"]])


def abstract(config: dict[str, Any], mesh: Mesh | AbstractMesh) -> tuple[ModelDef, TrainState]:
    """The model's definition, and the state of a run as shapes that are split over `mesh`."""
    optimizer = update(config).optimizer
    return states.abstract(model_maker(config), optimizer, mesh, config["sharding"], extras(config))


def mesh(config: dict[str, Any]) -> Mesh:
    """The mesh, which must be able to split the batch and its images."""
    made = meshes.create(**config["mesh"])
    meshes.check_batch(made, config["batch_size"], grad_accum_steps=config["grad_accum_steps"])
    meshes.check_batch(made, config["eval"]["batch_size"], key="eval.batch_size")
    meshes.check_height(made, config["data"]["image_size"])
    for height, _ in shapes_of(config["data"].get("buckets", ())):
        meshes.check_height(made, height, key="data.buckets")
    return made


def update(config: dict[str, Any]) -> Update:
    """The optimiser with its learning rate, clipping, skipping and EMA."""
    settings = dict(config["optimizer"])
    check_arguments(_update, settings, where="optimizer", given=("num_steps", "ema"))
    return _update(**settings, num_steps=config["num_steps"], ema=config["ema"])


def _update(
    *,
    learning_rate: float,
    name: str = "adamw",
    warmup_steps: int = 0,
    decay: str = "constant",
    final_learning_rate: float = 0.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    l2: float = 0.0,
    clip_norm: float = 0.0,
    skip_norm: float = 0.0,
    max_skips: int = 100,
    num_steps: int,
    ema: float,
) -> Update:
    """The keys of config.optimizer."""

    def rate(step: Any) -> Any:
        return optim.learning_rate(
            step,
            peak=learning_rate,
            warmup_steps=warmup_steps,
            decay=decay,
            num_steps=num_steps,
            final=final_learning_rate,
        )

    rate(0)  # an unknown decay is an error now, not at the first step
    optimizer = optim.create(name, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, l2=l2)
    return Update(optimizer, rate, ema, clip_norm, skip_norm, max_skips)


def step(
    config: dict[str, Any], modeldef: ModelDef, mesh: Mesh | None = None
) -> ElboStep | AdversarialStep:
    """The training step that config.step names, of a state that is split over `mesh`.

    Raises:
      ConfigError, DataError: settings that cannot work, or files of weights that are missing.
    """
    gather = (
        None if mesh is None or mesh.shape["fsdp"] == 1 else NamedSharding(mesh, PartitionSpec())
    )
    common: Any = dict(
        update=update(config),
        seed=config["seed"],
        grad_accum_steps=config["grad_accum_steps"],
        gather=gather,
    )
    if config["step"] == "elbo":
        return ElboStep(modeldef, elbo.create(config["objective"]), **common)
    rules, layer, discriminator = gan(config), "", None
    objective, frozen = codec.create(config["objective"], images=_frozen_images(config))
    extra = extras(config)
    if extra.discriminator is not None:
        discriminator, _, _ = parameters.abstract(lambda: _made(extra.discriminator))
    elif rules.weight > 0:
        raise ConfigError(
            "config.discriminator is missing: objective.adversarial.weight is above 0, and needs a discriminator, such as "
            "dict(name='patchgan.PatchGAN2D')"
        )
    if rules.weight > 0 and rules.adaptive:
        layer = getattr(
            find("pipeline.models", config["model"]["name"], where="model"), "last_layer", ""
        )
        if layer not in modeldef.param_names:
            raise ConfigError(
                f"objective.adversarial.adaptive: {config['model']['name']} does not say which is its last layer "
                "(last_layer); set adaptive=False"
            )
    return AdversarialStep(
        modeldef,
        objective,
        discriminator=discriminator,
        discriminator_update=discriminator_update(config) if discriminator is not None else None,
        gan=rules,
        layer=layer,
        frozen=frozen,
        **common,
    )


def _frozen_images(config: dict[str, Any]) -> tuple[ModelDef, Any] | None:
    """The image codec of objective.compatibility, where that has a weight."""
    settings = config["objective"].get("compatibility") or {}
    if not settings.get("weight"):
        return None
    if not settings.get("codec"):
        raise ConfigError(
            "objective.compatibility.codec is missing: the folder of the image codec to be compatible with"
        )
    from pipeline.codec import folder  # here, for its weight

    modeldef, weights, _, _ = folder.read(settings["codec"])
    return modeldef, weights


def _made(create: Any) -> nnx.Module:
    return create(nnx.Rngs(0))


def gan(config: dict[str, Any]) -> GanConfig:
    """The rules of objective.adversarial; without it, there is no discriminator's loss."""
    given = config["objective"].get("adversarial")
    where = "objective.adversarial"
    settings: dict[str, Any] = {"weight": 0.0} if given is None else dict(given)
    check_arguments(GanConfig, settings, where=where)
    rules = GanConfig(**settings)
    adversarial.check_kind(rules.loss, where=where)
    numbers = (
        rules.weight,
        rules.max_weight,
        rules.eps,
        rules.start,
        rules.warmup_steps,
        rules.r1,
        rules.lecam,
    )
    if min(numbers) < 0 or rules.r1_every < 1 or not 0 <= rules.lecam_decay < 1:
        raise ConfigError(
            f"{where}: numbers are 0 or more, r1_every is 1 or more, and lecam_decay below 1"
        )
    return rules


def extras(config: dict[str, Any]) -> Extras:
    """What the state of a run holds beside the model: a discriminator, and parameters of the objective."""
    if config["step"] == "elbo":
        return Extras(spectral=elbo.create(config["objective"]).spectral is not None)
    params = {codec.LOGVAR: 0.0} if config["objective"].get("logvar") == "learned" else {}
    if not config["discriminator"]:
        return Extras(params)
    recipe = {key: value for key, value in config["discriminator"].items() if key != "optimizer"}
    channels = config["data"].get("channels", 3)

    def discriminator(rngs: nnx.Rngs) -> nnx.Module:
        dtype = DTYPES[config["dtype"]]
        return construct(
            "pipeline.discriminators",
            recipe,
            where="discriminator",
            in_channels=channels,
            rngs=rngs,
            dtype=dtype,
        )

    return Extras(params, discriminator, discriminator_update(config).optimizer, LECAM)


def discriminator_update(config: dict[str, Any]) -> Update:
    """The discriminator's optimiser: config.discriminator.optimizer over config.optimizer; it has no EMA."""
    settings = {**config["optimizer"], **config["discriminator"].get("optimizer", {})}
    check_arguments(_update, settings, where="discriminator.optimizer", given=("num_steps", "ema"))
    return _update(**settings, num_steps=config["num_steps"], ema=0.0)

"""config.discriminator and config.objective.adversarial -> the discriminator and its rules."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx

from pipeline.build.model import DTYPES, model_factory
from pipeline.core import parameters
from pipeline.core.construct import check_arguments, construct, find
from pipeline.core.errors import ConfigError
from pipeline.losses import adversarial
from pipeline.training.steps.gan_config import GanConfig


def discriminator_factory(config: Mapping[str, Any]) -> Callable[[nnx.Rngs], nnx.Module]:
    """Return a function that creates the discriminator of config.discriminator."""
    recipe = {key: value for key, value in config["discriminator"].items() if key != "optimizer"}
    of_latents = judges_latents(config)
    return lambda rngs: construct(
        "pipeline.discriminators",
        recipe,
        where="discriminator",
        in_channels=_num_latents(config) if of_latents else config["data"].get("channels", 3),
        rngs=rngs,
        dtype=DTYPES[config["dtype"]],
    )


def judges_latents(config: Mapping[str, Any]) -> bool:
    """Return whether config.discriminator takes latents [b d] in place of images."""
    name = str(config["discriminator"].get("name"))
    kind = find("pipeline.discriminators", name, where="discriminator")
    return getattr(kind, "of_latents", False)


def _num_latents(config: Mapping[str, Any]) -> int:
    """Return the number of elements of the model's latents."""
    create = model_factory(config)
    modeldef, _, _ = parameters.abstract(lambda: create(nnx.Rngs(0)))
    return sum(math.prod(shape) for shape in modeldef.skeleton().latent_shapes)


def gan_config(config: Mapping[str, Any]) -> GanConfig:
    """Return the settings of config.objective.adversarial, of weight 0 without that section.

    Raises:
      ConfigError: a key is unknown, or a value is out of range.
    """
    given = config["objective"].get("adversarial")
    where = "objective.adversarial"
    if not isinstance(given, Mapping | None):
        raise ConfigError(f"{where}={given!r} must be a dict, such as dict(weight=0.5)")
    settings: dict[str, Any] = {"weight": 0.0} if given is None else dict(given)
    check_arguments(GanConfig, settings, where=where)
    gan = GanConfig(**settings)
    adversarial.check_kind(gan.loss, where=where)
    numbers = (gan.weight, gan.max_weight, gan.eps, gan.start, gan.warmup_steps, gan.r1, gan.lecam)
    if min(numbers) < 0 or gan.r1_every < 1 or not 0 <= gan.lecam_decay < 1:
        raise ConfigError(
            f"{where}: numbers are 0 or more, r1_every is 1 or more, and lecam_decay below 1"
        )
    return gan

"""config.objective.latent_adversarial -> the settings of a discriminator of latents."""

from collections.abc import Mapping
from typing import Any

from pipeline.build.discriminator import judges_latents
from pipeline.core import schedules
from pipeline.core.construct import check_arguments, nearest
from pipeline.core.errors import ConfigError
from pipeline.losses.latent_adversarial import ENCODER, REFERENCES
from pipeline.training.steps.latent_adversarial import LatentAdversarialConfig

WHERE = "objective.latent_adversarial"


def latent_adversarial_config(config: Mapping[str, Any]) -> LatentAdversarialConfig:
    """Return the settings of config.objective.latent_adversarial, of weight 0 without that section.

    Raises:
      ConfigError: a key is unknown, a value is out of range, or the run's step or discriminator is
        of another kind.
    """
    given = config["objective"].get("latent_adversarial", {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"{WHERE}={given!r} must be a dict, such as dict(weight=35.0)")
    if isinstance(given.get("weight"), Mapping):
        given = {**given, "weight": schedules.create(given["weight"], where=f"{WHERE}.weight")}
    check_arguments(LatentAdversarialConfig, given, where=WHERE)
    found = LatentAdversarialConfig(**given)
    for key, value, known in (
        ("reference", found.reference, REFERENCES),
        ("loss", found.loss, ENCODER),
    ):
        if value not in known:
            raise ConfigError(f"{WHERE}.{key}={value!r}: {nearest(value, known)}")
    if not callable(found.weight) and not 0 <= found.weight < float("inf"):
        raise ConfigError(f"{WHERE}.weight={found.weight} must be 0 or more")
    if not found.is_on:
        return found
    if config["step"] != "elbo":
        raise ConfigError(f"{WHERE} needs config.step='elbo'; set its weight to 0")
    if config["objective"].get("importance", {}).get("num_samples", 0):
        raise ConfigError(f"{WHERE} and objective.importance exclude one another")
    if not config["discriminator"] or not judges_latents(config):
        raise ConfigError(
            f"{WHERE} needs a discriminator of latents: config.discriminator = dict(name='mlp.MLP')"
        )
    return found

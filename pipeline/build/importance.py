"""config.objective.importance -> the settings of training on the importance-weighted bound."""

from collections.abc import Mapping
from typing import Any

from pipeline.core.construct import check_arguments, nearest
from pipeline.core.errors import ConfigError
from pipeline.losses.objective import Objective
from pipeline.training.steps.importance_weighted import GRADIENTS, ImportanceConfig

WHERE = "objective.importance"


def importance_config(config: Mapping[str, Any]) -> ImportanceConfig:
    """Return the settings of config.objective.importance, of 0 samples without that section.

    Raises:
      ConfigError: a key is unknown, a value is out of range, or the step is another.
    """
    given = config["objective"].get("importance", {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"{WHERE}={given!r} must be a dict, such as dict(num_samples=50)")
    check_arguments(ImportanceConfig, given, where=WHERE)
    found = ImportanceConfig(**given)
    if found.num_samples < 0:
        raise ConfigError(f"{WHERE}.num_samples={found.num_samples} must be 0 or more")
    if found.gradient not in GRADIENTS:
        raise ConfigError(
            f"{WHERE}.gradient={found.gradient!r}: {nearest(found.gradient, GRADIENTS)}"
        )
    if found.num_samples and config["step"] != "elbo":
        raise ConfigError(f"{WHERE} needs config.step='elbo'; set its num_samples to 0")
    return found


def check_objective(loss: Objective) -> None:
    """Raise ConfigError for an objective that is more than the two terms of the ELBO."""
    weights = {name: term.weight for name, term in loss.terms}
    plain = weights == {"distortion": 1, "rate": 1} and loss.logvar == 0
    if not plain or loss.spectral is not None:
        raise ConfigError(
            f"{WHERE}: the bound is made of distortion and rate, both with the weight 1, and takes "
            "no other terms, no logvar and no spectral norms"
        )

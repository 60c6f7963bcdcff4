"""Likelihood heads of vectors, which turn a network's last features into p(x | z).

A head says how many features it needs (`num_outputs`), which number is the least that has a density
(`LEAST`), and maps [b num_outputs] to a likelihood of vectors [b d]. Recipes name one, as they do
for images: likelihood="gaussian", or dict(name="phase_type", num_phases=15).
"""

import math
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.construct import check_arguments, nearest
from pipeline.core.errors import ConfigError
from pipeline.core.types import Likelihood
from pipeline.distributions.continuous import clip_logvar, gaussian_log_prob, gaussian_sample
from pipeline.distributions.phase_type import PhaseType

_LEAST_RATE = 0.01  # and the least step from a phase's rate to the next's, as in the authors' code


@flax.struct.dataclass
class VectorGaussian:
    """The density of vectors of independent normal numbers."""

    location: Float[Array, "b d"]
    logvar: Float[Array, "b d"]

    def log_prob(self, x: Float[Array, "b d"]) -> Float[Array, " b"]:
        """Return the log-density of each vector, in nats."""
        return gaussian_log_prob(x, self.location, self.logvar).sum(axis=-1)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b d"]:
        """Draw vectors."""
        return gaussian_sample(key, self.location, self.logvar)

    def mean(self) -> Float[Array, "b d"]:
        """Return the location."""
        return self.location

    def target(self, x: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """Return vectors as a perfect mean() would be."""
        return x


class GaussianHead(nnx.Module):
    """VectorGaussian with a location and a deviation from the network for each number."""

    LEAST = -math.inf

    def __init__(self, num_features: int):
        self.num_outputs = 2 * num_features

    def __call__(self, features: Float[Array, "b p"]) -> Likelihood:
        location, logvar = jnp.split(features.astype(jnp.float32), 2, axis=-1)
        return VectorGaussian(location, clip_logvar(logvar))


class PhaseTypeHead(nnx.Module):
    """PhaseType with `num_phases` phases, whose rates grow from the first to the last.

    The rates are sums of softplus of the network's outputs (arXiv 2603.01800).
    """

    LEAST = 0.0

    def __init__(self, num_features: int, *, num_phases: int = 15):
        if num_phases < 1:
            raise ConfigError(f"model.likelihood.num_phases={num_phases} must be at least 1")
        self.shape = (num_features, 2, num_phases)
        self.num_outputs = 2 * num_features * num_phases

    def __call__(self, features: Float[Array, "b p"]) -> Likelihood:
        parts = features.astype(jnp.float32).reshape(-1, *self.shape)
        steps = jax.nn.softplus(parts[..., 1, :]) + _LEAST_RATE
        return PhaseType(jax.nn.log_softmax(parts[..., 0, :]), jnp.cumsum(steps, axis=-1))


HEADS: dict[str, Any] = {"gaussian": GaussianHead, "phase_type": PhaseTypeHead}


def create(
    recipe: str | Mapping[str, Any], num_features: int, *, where: str = "model.likelihood"
) -> Any:
    """Return the head that a recipe names, for vectors of `num_features` numbers.

    Raises:
      ConfigError: an unknown name or key, or an invalid value.
    """
    head, arguments = _head(recipe, where)
    check_arguments(head, arguments, where=where, given=("num_features",))
    return head(num_features, **arguments)


def least(recipe: str | Mapping[str, Any], *, where: str = "model.likelihood") -> float:
    """Return the least number that has a density under the likelihood that a recipe names.

    Raises:
      ConfigError: an unknown name.
    """
    return _head(recipe, where)[0].LEAST


def _head(recipe: str | Mapping[str, Any], where: str) -> tuple[Any, dict[str, Any]]:
    """Return the head that a recipe names, and its arguments."""
    arguments = {"name": recipe} if isinstance(recipe, str) else dict(recipe)
    name = arguments.pop("name", None)
    if name not in HEADS:
        raise ConfigError(
            f"{where}.name={name!r} is not a likelihood of vectors: {nearest(str(name), HEADS)}"
        )
    return HEADS[name], arguments

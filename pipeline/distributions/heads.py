"""Likelihood heads, which turn a network's last feature map into p(x | z).

A head says how many channels it needs (`num_channels`), maps [b h w num_channels] to a likelihood,
and owns the likelihood's other parameters. It is `natural` if its inputs are the natural parameters
of an exponential family, up to a factor that does not depend on them. Recipes name one:
likelihood="bernoulli", or dict(name="gaussian", scale=0.1).
"""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pipeline.core.construct import check_arguments, nearest
from pipeline.core.errors import ConfigError
from pipeline.core.types import Likelihood
from pipeline.distributions import continuous
from pipeline.distributions.logistic_mixture import DiscretizedLogisticMixture


class BernoulliHead(nnx.Module):
    """Bernoulli with one logit per pixel and channel."""

    natural = True

    def __init__(self, image_channels: int, *, binarize: bool = False):
        self.num_channels = image_channels
        self.binarize = binarize

    def __call__(self, features: Float[Array, "b h w p"]) -> Likelihood:
        return continuous.Bernoulli(features.astype(jnp.float32), self.binarize)


class GaussianHead(nnx.Module):
    """A Gaussian density around the network's output (continuous.Gaussian).

    `scale` is its standard deviation in units of [-1, 1]: a fixed number; "learned", a parameter
    that is initialized to `start` and whose optimum is the root mean squared error; or "pixel", an
    output of the network for each pixel and channel.
    """

    likelihood: Any = continuous.Gaussian

    def __init__(
        self,
        image_channels: int,
        *,
        scale: float | int | str = "learned",
        start: float | int = 1.0,
        bits: int = 8,
    ):
        if isinstance(scale, str) and scale not in ("learned", "pixel"):
            raise ConfigError(
                f"model.likelihood.scale={scale!r} must be a number, 'learned' or 'pixel'"
            )
        if not isinstance(scale, str) and scale <= 0:
            raise ConfigError(f"model.likelihood.scale={scale} must be positive")
        if start <= 0:
            raise ConfigError(f"model.likelihood.start={start} must be positive")
        self.num_channels = 2 * image_channels if scale == "pixel" else image_channels
        self.natural = scale != "pixel"
        self.scale = scale
        self.bits = bits
        if scale == "learned":
            self.log_scale = nnx.Param(jnp.asarray(math.log(start), jnp.float32))

    def __call__(self, features: Float[Array, "b h w p"]) -> Likelihood:
        location = features.astype(jnp.float32)
        if self.scale == "pixel":
            location, log_scale = jnp.split(location, 2, axis=-1)
        elif self.scale == "learned":
            log_scale = self.log_scale[...]
        else:
            log_scale = jnp.log(jnp.float32(self.scale))
        return self.likelihood(location, log_scale, self.bits)


class DiscretizedGaussianHead(GaussianHead):
    """GaussianHead with the mass of each value instead of a density."""

    likelihood: Any = continuous.DiscretizedGaussian


class CategoricalHead(nnx.Module):
    """Categorical with 2**bits logits per pixel and channel."""

    natural = True

    def __init__(self, image_channels: int, *, bits: int = 8):
        self.num_channels = image_channels * 2**bits
        self.image_channels = image_channels
        self.bits = bits

    def __call__(self, features: Float[Array, "b h w p"]) -> Likelihood:
        shape = (*features.shape[:-1], self.image_channels, 2**self.bits)
        return continuous.Categorical(features.astype(jnp.float32).reshape(shape), self.bits)


class LogisticMixtureHead(nnx.Module):
    """A mixture of `num_mixtures` discretized logistics, for RGB images.

    `authors_low_bit` is for comparison only; see DiscretizedLogisticMixture.
    """

    natural = False

    def __init__(
        self,
        image_channels: int,
        *,
        num_mixtures: int = 10,
        bits: int = 8,
        authors_low_bit: bool = False,
    ):
        if image_channels != 3:
            raise ConfigError(
                f"model.likelihood: logistic_mixture needs 3 channels, not {image_channels}"
            )
        self.num_channels = 10 * num_mixtures
        self.bits = bits
        self.authors_low_bit = authors_low_bit

    def __call__(self, features: Float[Array, "b h w p"]) -> Likelihood:
        params = features.astype(jnp.float32)
        return DiscretizedLogisticMixture(params, self.bits, self.authors_low_bit)


HEADS: dict[str, Any] = {
    "bernoulli": BernoulliHead,
    "gaussian": GaussianHead,
    "discretized_gaussian": DiscretizedGaussianHead,
    "categorical": CategoricalHead,
    "logistic_mixture": LogisticMixtureHead,
}


def create(
    recipe: str | Mapping[str, Any], image_channels: int, *, where: str = "model.likelihood"
) -> Any:
    """Return the head that a recipe names, for images of `image_channels` channels.

    Raises:
      ConfigError: an unknown name or key, or an invalid value.
    """
    arguments = {"name": recipe} if isinstance(recipe, str) else dict(recipe)
    name = arguments.pop("name", None)
    if name not in HEADS:
        raise ConfigError(f"{where}.name={name!r} is not a likelihood: {nearest(str(name), HEADS)}")
    check_arguments(HEADS[name], arguments, where=where, given=("image_channels",))
    bits = arguments.get("bits", 8)
    if not isinstance(bits, int) or not 1 <= bits <= 8:
        raise ConfigError(f"{where}.bits={bits!r} must be from 1 to 8")
    return HEADS[name](image_channels, **arguments)

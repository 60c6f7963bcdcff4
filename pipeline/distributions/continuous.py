"""Diagonal Gaussians for latents, and likelihoods of images (pipeline.core.types.Likelihood).

Likelihoods take uint8 images at a depth of `bits`: value v = image >> (8 - bits) lies at 2 v /
(2**bits - 1) - 1 in [-1, 1]. All but `Gaussian` and the grey `Bernoulli` are probability masses
over those values, which sum to one, so that their bits per dimension are comparable with one
another and with pipeline.distributions.logistic_mixture.
"""

import math

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from pipeline.core import pixels
from pipeline.core.types import Latent

LOG_2PI = math.log(2 * math.pi)
MIN_LOGVAR, MAX_LOGVAR = -30.0, 20.0
MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 2.0


# Diagonal Gaussians


def clip_logvar(logvar: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Clip to -30..20, so that exp(logvar) and exp(-logvar) are finite in float32.

    The gradient is zero outside.
    """
    return jnp.clip(logvar.astype(jnp.float32), MIN_LOGVAR, MAX_LOGVAR)


def gaussian_kl(
    mean: Float[Array, "*shape"],
    logvar: Float[Array, "*shape"],
    prior_mean: Float[Array, "*shape"] | float = 0.0,
    prior_logvar: Float[Array, "*shape"] | float = 0.0,
) -> Float[Array, "*shape"]:
    """Return KL(N(mean, exp(logvar)) || N(prior_mean, exp(prior_logvar))) per element, in nats."""
    gap = logvar - prior_logvar
    return 0.5 * (
        jnp.expm1(gap) - gap + jnp.square(mean - prior_mean) * jnp.exp(-jnp.asarray(prior_logvar))
    )


def gaussian_sample(
    key: PRNGKeyArray,
    mean: Float[Array, "*shape"],
    logvar: Float[Array, "*shape"],
    temperature: Float[Array, ""] | float = 1.0,
) -> Float[Array, "*shape"]:
    """Draw a reparameterized sample.

    `temperature` multiplies the standard deviation; 0 gives the mean.
    """
    return mean + temperature * jnp.exp(0.5 * logvar) * jax.random.normal(
        key, mean.shape, mean.dtype
    )


def gaussian_log_prob(
    z: Float[Array, "*shape"],
    mean: Float[Array, "..."] | float = 0.0,
    logvar: Float[Array, "..."] | float = 0.0,
) -> Float[Array, "*shape"]:
    """Return the log-density of each element of z, in nats; mean and logvar are broadcast."""
    return -0.5 * (LOG_2PI + logvar + jnp.square(z - mean) * jnp.exp(-jnp.asarray(logvar)))


def log_ratio(latent: Latent) -> Float[Array, " b"]:
    """Return log p(z) - log q(z | x) at the latent's sample, summed over each example, in nats.

    Its mean over samples is minus the KL; importance-weighted bounds need the value itself. The
    prior is standard normal unless the latent has the moments or the density of its own; a discrete
    latent has the probabilities of its indices.

    Raises:
      ValueError: the latent has neither a posterior density nor probabilities.
    """
    if latent.indices is not None and latent.log_q is not None and latent.log_p is not None:
        return _sum_examples(latent.log_p - latent.log_q)
    if latent.mean is None or latent.logvar is None:
        raise ValueError(
            "log_ratio needs a Gaussian latent or a discrete one: this one has neither moments nor "
            "log_q and log_p"
        )
    posterior = (
        gaussian_log_prob(latent.z, latent.mean, latent.logvar)
        if latent.log_q is None
        else latent.log_q
    )
    return _sum_examples(log_prior(latent) - posterior)


def log_prior(latent: Latent) -> Float[Array, "b ..."]:
    """Return log p(z) of each element of a continuous latent, in nats."""
    if latent.log_p is not None:
        return latent.log_p
    prior_mean = 0.0 if latent.prior_mean is None else latent.prior_mean
    prior_logvar = 0.0 if latent.prior_logvar is None else latent.prior_logvar
    return gaussian_log_prob(latent.z, prior_mean, prior_logvar)


# Likelihoods


def values(image: Shaped[Array, "*shape"], bits: int = 8) -> Int[Array, "*shape"]:
    """Return the leading `bits` bits of uint8 images: 0..2**bits - 1."""
    return image.astype(jnp.int32) >> (8 - bits)


def position(value: Shaped[Array, "*shape"], bits: int = 8) -> Float[Array, "*shape"]:
    """Return the positions in [-1, 1] of values in 0..2**bits - 1."""
    return value.astype(jnp.float32) * (2 / (2**bits - 1)) - 1


@flax.struct.dataclass
class DiscretizedGaussian:
    """The mass of N(location, exp(log_scale)^2) on each value's interval; the outer two are open.

    `log_scale` is in units of [-1, 1], clipped to -7..2, and broadcasts to the shape of `location`.
    When the scale is large against the spacing of values, the log-probability approaches
    `Gaussian`'s.
    """

    location: Float[Array, "b h w c"]
    log_scale: Float[Array, "*broadcast"]
    bits: int = flax.struct.field(pytree_node=False, default=8)

    def log_prob(self, image: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
        value, highest = values(image, self.bits), 2**self.bits - 1
        distance = position(value, self.bits) - self.location
        inverse_scale = jnp.exp(-_clip_log_scale(self.log_scale))
        upper = (distance + 1 / highest) * inverse_scale
        lower = (distance - 1 / highest) * inverse_scale
        inside = log_normal_interval(lower, upper)
        log_mass = jnp.where(
            value == 0,
            jax.scipy.special.log_ndtr(upper),
            jnp.where(value == highest, jax.scipy.special.log_ndtr(-lower), inside),
        )
        return _sum_examples(log_mass)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        noise = jax.random.normal(key, self.location.shape)
        x = self.location + jnp.exp(_clip_log_scale(self.log_scale)) * noise
        highest = 2**self.bits - 1
        return position(jnp.clip(jnp.round((x + 1) * highest / 2), 0, highest), self.bits)

    def mean(self) -> Float[Array, "b h w c"]:
        return jnp.clip(self.location, -1.0, 1.0)

    def target(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return position(values(image, self.bits), self.bits)


@flax.struct.dataclass
class Gaussian:
    """The density N(location, exp(log_scale)^2) per unit of one value's spacing; not a mass.

    This unit makes it the midpoint rule for `DiscretizedGaussian`, but it is unbounded: as the
    scale goes to zero the log-density goes to infinity, and its bits per dimension are not a code
    length. It is the likelihood of most beta-VAE papers, where a fixed scale s amounts to a squared
    error weighted by 1 / (2 s^2).
    """

    location: Float[Array, "b h w c"]
    log_scale: Float[Array, "*broadcast"]
    bits: int = flax.struct.field(pytree_node=False, default=8)

    def log_prob(self, image: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
        x = position(values(image, self.bits), self.bits)
        log_scale = _clip_log_scale(self.log_scale)
        log_density = gaussian_log_prob(x, self.location, 2 * log_scale)
        return _sum_examples(log_density + math.log(2 / (2**self.bits - 1)))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        noise = jax.random.normal(key, self.location.shape)
        return jnp.clip(self.location + jnp.exp(_clip_log_scale(self.log_scale)) * noise, -1.0, 1.0)

    def mean(self) -> Float[Array, "b h w c"]:
        return jnp.clip(self.location, -1.0, 1.0)

    def target(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return position(values(image, self.bits), self.bits)


@flax.struct.dataclass
class Bernoulli:
    """Black or white pixels, with logits of white.

    With `binarize` an image is thresholded at 127.5 and this is a mass. Without it, a grey value x
    / 255 counts as a probability of white (the cross-entropy of most papers on MNIST), which is
    neither a likelihood of grey images nor a code length.
    """

    logits: Float[Array, "b h w c"]
    binarize: bool = flax.struct.field(pytree_node=False, default=False)

    def log_prob(self, image: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
        return _sum_examples(self._white(image) * self.logits - jax.nn.softplus(self.logits))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        white = jax.random.bernoulli(key, jax.nn.sigmoid(self.logits))
        return white.astype(jnp.float32) * 2 - 1

    def mean(self) -> Float[Array, "b h w c"]:
        return 2 * jax.nn.sigmoid(self.logits) - 1

    def target(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return 2 * self._white(image) - 1

    def _white(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Return the fraction of white, in 0..1."""
        return (
            (image > 127).astype(jnp.float32)
            if self.binarize
            else image.astype(jnp.float32) / 255.0
        )


@flax.struct.dataclass
class Categorical:
    """An independent distribution over the 2**bits values of every pixel and channel."""

    logits: Float[Array, "b h w c k"]
    bits: int = flax.struct.field(pytree_node=False, default=8)

    def log_prob(self, image: Shaped[Array, "b h w c"]) -> Float[Array, " b"]:
        chosen = jnp.take_along_axis(self.logits, values(image, self.bits)[..., None], axis=-1)[
            ..., 0
        ]
        return _sum_examples(chosen - jax.nn.logsumexp(self.logits, axis=-1))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b h w c"]:
        return position(jax.random.categorical(key, self.logits), self.bits)

    def mean(self) -> Float[Array, "b h w c"]:
        return jax.nn.softmax(self.logits) @ position(jnp.arange(2**self.bits), self.bits)

    def target(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return position(values(image, self.bits), self.bits)


@flax.struct.dataclass
class Reconstruction:
    """The images or clips that a codec decodes; there is no likelihood, and so no log_prob."""

    location: Float[Array, "b *t h w c"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b *t h w c"]:
        """Return `location`, whatever the key."""
        del key
        return self.location

    def mean(self) -> Float[Array, "b *t h w c"]:
        return self.location

    def target(self, image: Shaped[Array, "b *t h w c"]) -> Float[Array, "b *t h w c"]:
        return pixels.to_float(image)


def _sum_examples(x: Float[Array, "b ..."]) -> Float[Array, " b"]:
    return x.reshape(x.shape[0], -1).sum(axis=-1)


def _clip_log_scale(log_scale: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.clip(log_scale.astype(jnp.float32), MIN_LOG_SCALE, MAX_LOG_SCALE)


def log_normal_interval(
    lower: Float[Array, "*shape"], upper: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Return log(Phi(upper) - Phi(lower)).

    It and its gradients are finite however far out or narrow the interval is.
    """
    # Mirror into the lower tail, where log Phi keeps its relative precision.
    far = lower + upper > 0
    lower, upper = jnp.where(far, -upper, lower), jnp.where(far, -lower, upper)
    log_upper = jax.scipy.special.log_ndtr(upper)
    ratio = jax.scipy.special.log_ndtr(lower) - log_upper
    return log_upper + jnp.log(-jnp.expm1(jnp.minimum(ratio, -1e-6)))

"""Discretized mixture of logistics over RGB pixels (PixelCNN++, 1701.05517), for any bit depth."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

MIN_LOG_SCALE = -7.0


@flax.struct.dataclass
class DiscretizedLogisticMixture:
    """A mixture for each pixel, autoregressive over red, green and blue.

    `params` [b h w 10m] holds, as in the authors' networks, m mixture logits, then for each of the
    three channels m means, m log-scales (clipped to at least -7) and m coefficients (through tanh).
    The coefficients in the places of red, green and blue are: red in green's mean, red in blue's
    mean, and green in blue's mean.

    A value v of 0..2**bits - 1 lies at 2 v / (2**bits - 1) - 1 and owns the interval between the
    midpoints to its neighbors; the outermost two intervals are open, so that the probabilities sum
    to one. `authors_low_bit` is VDVAE's likelihood of 5-bit images (arXiv 2011.10650), for
    comparison only: values at v 2**(8 - bits) / 127.5 - 1, but intervals 2 / (2**bits - 1) wide and
    none open at the right, so that the sum is between 0.5 and 1.028.
    """

    params: Float[Array, "b h w p"]
    bits: int = flax.struct.field(pytree_node=False, default=8)
    authors_low_bit: bool = flax.struct.field(pytree_node=False, default=False)

    def log_prob(self, image: Shaped[Array, "b h w 3"]) -> Float[Array, " b"]:
        """Return the log-probability in nats of the leading `bits` bits of uint8 images."""
        value = image.astype(jnp.int32) >> (8 - self.bits)
        x = self._position(value)[..., None]
        logits, means, log_scales, coefficients = self._components()
        means = means.at[..., 1, :].add(coefficients[..., 0, :] * x[..., 0, :])
        means = means.at[..., 2, :].add(
            coefficients[..., 1, :] * x[..., 0, :] + coefficients[..., 2, :] * x[..., 1, :]
        )
        channels = self._log_interval(value[..., None], x - means, log_scales).sum(axis=-2)
        return jax.nn.logsumexp(jax.nn.log_softmax(logits) + channels, axis=-1).sum(axis=(1, 2))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b h w 3"]:
        """Draw images in [-1, 1], each channel at the position of a value."""
        mixture_key, logistic_key = jax.random.split(key)
        logits, *components = self._components()
        chosen = jax.random.categorical(mixture_key, logits)[..., None, None]
        mean, log_scale, coefficient = (
            jnp.take_along_axis(a, chosen, axis=-1)[..., 0] for a in components
        )
        noise = jnp.exp(log_scale) * jax.random.logistic(logistic_key, mean.shape)
        red = self._nearest(mean[..., 0] + noise[..., 0])
        green = self._nearest(mean[..., 1] + coefficient[..., 0] * red + noise[..., 1])
        blue = self._nearest(
            mean[..., 2] + coefficient[..., 1] * red + coefficient[..., 2] * green + noise[..., 2]
        )
        return jnp.stack([red, green, blue], axis=-1)

    def mean(self) -> Float[Array, "b h w 3"]:
        """Return the average of the components' means in [-1, 1].

        Each component's means go from red to green to blue and are clipped.
        """
        logits, means, _, coefficients = self._components()
        red = jnp.clip(means[..., 0, :], -1, 1)
        green = jnp.clip(means[..., 1, :] + coefficients[..., 0, :] * red, -1, 1)
        blue = jnp.clip(
            means[..., 2, :] + coefficients[..., 1, :] * red + coefficients[..., 2, :] * green,
            -1,
            1,
        )
        weights = jax.nn.softmax(logits)
        return jnp.stack(
            [(weights * channel).sum(axis=-1) for channel in (red, green, blue)], axis=-1
        )

    def target(self, image: Shaped[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
        """Return the positions in [-1, 1] of the images' values."""
        return self._position(image.astype(jnp.int32) >> (8 - self.bits))

    @property
    def _spacing(self) -> float:
        return 2 ** (8 - self.bits) / 127.5 if self.authors_low_bit else 2 / (2**self.bits - 1)

    def _position(self, value: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
        return value.astype(jnp.float32) * self._spacing - 1

    def _nearest(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self._position(jnp.clip(jnp.round((x + 1) / self._spacing), 0, 2**self.bits - 1))

    def _components(self) -> tuple[Array, Array, Array, Array]:
        """Return float32 logits [b h w m], and means, log-scales and coefficients [b h w 3 m]."""
        params = self.params.astype(jnp.float32)
        m = params.shape[-1] // 10
        rest = params[..., m:].reshape(*params.shape[:-1], 3, 3 * m)
        means, log_scales, coefficients = jnp.split(rest, 3, axis=-1)
        return (
            params[..., :m],
            means,
            jnp.maximum(log_scales, MIN_LOG_SCALE),
            jnp.tanh(coefficients),
        )

    def _log_interval(
        self,
        value: Shaped[Array, "*v"],
        distance: Float[Array, "*s"],
        log_scale: Float[Array, "*s"],
    ) -> Float[Array, "*s"]:
        """Return the logistic's log-mass on the interval of `value`, `distance` from the mean.

        With a and b the standardized upper and lower ends, log(sigmoid(a) - sigmoid(b)) = log(1 -
        exp(b - a)) + log sigmoid(a) + log sigmoid(-b), in which nothing cancels; an open end drops
        the first term and its own.
        """
        half_width = np.float32(1 / (2**self.bits - 1))
        inverse_scale = jnp.exp(-log_scale)
        lowest = value == 0
        highest = (value == 2**self.bits - 1) & (not self.authors_low_bit)
        below = jnp.where(highest, 0.0, jax.nn.log_sigmoid((distance + half_width) * inverse_scale))
        above = jnp.where(lowest, 0.0, jax.nn.log_sigmoid((half_width - distance) * inverse_scale))
        width = jnp.where(
            lowest | highest, 0.0, _log_one_minus_exp(np.log(2 * half_width) - log_scale)
        )
        return below + above + width


def _log_one_minus_exp(log_width: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return log(1 - exp(-exp(log_width))); it and its gradient are finite for any width."""
    width = jnp.exp(log_width)
    narrow = log_width < -5.0
    # The series of log((1 - exp(-w)) / w). The other branch never gets w = 0, where its gradient is
    # infinite.
    series = log_width - width / 2 + width * width / 24
    return jnp.where(narrow, series, jnp.log(-jnp.expm1(-jnp.where(narrow, 1.0, width))))

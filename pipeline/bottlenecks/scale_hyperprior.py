"""Rounded latents whose scales are themselves coded: the scale hyperprior (arXiv 1802.01436).

Latents y are rounded to integers with the probability of the unit interval under N(0, s^2). The
scales s are decoded from hyper-latents z, a sixteenth as many positions, which are rounded too, and
have a learned density. `kl` is the length of the code: -log p(y | z), plus the share of each
element in -log p(z), of which all elements of an example have the same. In training, rounding is
replaced by noise from -1/2 to 1/2 (section 2), and the same formula is the rate's relaxation.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.types import Latent
from pipeline.distributions.continuous import MIN_LOGVAR, log_normal_interval
from pipeline.networks.gdn import Doubling, halving
from pipeline.nn.conv import Conv
from pipeline.nn.gdn import lower_bound
from pipeline.quantization.factorized_density import FactorizedDensity

_FACTOR = 4  # positions of y to one of z, each way
_LEAST_LOG_SCALE, _MOST_LOG_SCALE = -2.2072749, 5.5451774  # 0.11 and 256, as in the public codes


class ScaleHyperprior(nnx.Module):
    """Features [b h w d] -> latents [b h w d], integers.

    The networks give log-scales, as later codes of the authors', where the paper's end in a ReLU.
    The rate is the ideal length; pipeline.codec.entropy writes bytes of nearly that length.

    Args:
      width: channels of the hyper-latents and of the networks (N in the paper).
    """

    def __init__(
        self,
        *,
        latent_channels: int,
        width: int = 128,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        rngs: Any = nnx.Rngs(key)
        same: Any = dict(rngs=rngs, dtype=dtype)
        self.latent_channels = latent_channels
        self.encode_in = _conv(latent_channels, width, **same)
        self.encode_halvings = nnx.List([halving(width, width, **same) for _ in range(2)])
        self.decode_doublings = nnx.List([Doubling(width, width, **same) for _ in range(2)])
        self.decode_out = _conv(width, latent_channels, **same)
        self.density = FactorizedDensity(width, key=rngs.params())

    @staticmethod
    def num_inputs(latent_channels: int) -> int:
        """Return the number of channels of the latents themselves."""
        return latent_channels

    def __call__(self, h: Float[Array, "b h w d"], key: PRNGKeyArray | None = None) -> Latent:
        """Return the rounded latents and the length of their code; the key changes nothing."""
        del key
        return self._latent(*self.integers(h))

    def learn(
        self, h: Float[Array, "b h w d"], key: PRNGKeyArray | None, step: Any = 0
    ) -> tuple[Latent, dict[str, Any]]:
        """Return latents with noise in place of rounding, for which the key is needed."""
        del step
        assert key is not None
        y = h.astype(jnp.float32)
        z = self.hyper_latents(y)
        of_y, of_z = jax.random.split(key)
        return self._latent(_noisy(of_y, y), _noisy(of_z, z)), {}

    def prior(
        self,
        shape: tuple[int, ...],
        key: PRNGKeyArray | None,
        temperature: Float[Array, ""] | float | int = 1.0,
    ) -> Float[Array, "b h w d"]:
        """Return integers drawn from the prior times `temperature`, or without a key zeros."""
        if key is None:
            return jnp.zeros((*shape, self.latent_channels), jnp.float32)
        b, height, width = shape
        keys = jax.random.split(key)
        z = self.density.sample(keys[0], (b, -(-height // _FACTOR), -(-width // _FACTOR)))
        scale = jnp.exp(self.log_scales(jnp.round(z), height, width))
        return temperature * jnp.round(scale * jax.random.normal(keys[1], scale.shape))

    def integers(
        self, h: Float[Array, "b h w d"]
    ) -> tuple[Float[Array, "b h w d"], Float[Array, "b h2 w2 n"]]:
        """Return what an entropy coder codes: the rounded latents and hyper-latents."""
        y = h.astype(jnp.float32)
        return jnp.round(y), jnp.round(self.hyper_latents(y))

    def _latent(self, y: Float[Array, "b h w d"], z: Float[Array, "b h2 w2 n"]) -> Latent:
        log_scale = self.log_scales(z, *y.shape[1:3])
        inverse = jnp.exp(-log_scale)
        of_y = -log_normal_interval((y - 0.5) * inverse, (y + 0.5) * inverse)
        of_z = -self.density.log_mass(z).sum(axis=(1, 2, 3), keepdims=True)
        kl = of_y + of_z / (y.size // y.shape[0])
        zeros = jnp.zeros_like(y)
        return Latent(y, kl, y, zeros + MIN_LOGVAR, zeros, 2 * log_scale)

    def hyper_latents(self, y: Float[Array, "b h w d"]) -> Float[Array, "b h2 w2 n"]:
        """Return the hyper-latents of latents, not rounded."""
        _, height, width, _ = y.shape
        ends = ((0, 0), (0, -height % _FACTOR), (0, -width % _FACTOR), (0, 0))
        x = self.encode_in(jnp.abs(jnp.pad(y, ends)))
        for conv in self.encode_halvings:
            x = conv(nnx.relu(x))
        return x.astype(jnp.float32)

    def log_scales(
        self, z: Float[Array, "b h2 w2 n"], height: int, width: int
    ) -> Float[Array, "b h w d"]:
        """Return the logarithms of the latents' scales, given the hyper-latents."""
        x = z
        for doubling in self.decode_doublings:
            x = nnx.relu(doubling(x))
        log_scale = self.decode_out(x).astype(jnp.float32)[:, :height, :width]
        return jnp.minimum(lower_bound(log_scale, _LEAST_LOG_SCALE), _MOST_LOG_SCALE)


def _noisy(key: PRNGKeyArray, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return x + jax.random.uniform(key, x.shape, x.dtype, -0.5, 0.5)


def _conv(width: int, out: int, *, rngs: nnx.Rngs, dtype: Any) -> Conv:
    return Conv(width, out, 3, bias_scale=1.0, key=rngs.params(), dtype=dtype)

"""A prior that is a normalizing flow of N(0, 1) (arXiv 1605.08803, 1611.02731)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core.construct import construct
from pipeline.core.errors import ConfigError
from pipeline.distributions.continuous import gaussian_log_prob


class FlowPrior(nnx.Module):
    """z = flow(e) with e from N(0, 1); the density is evaluated by the inverse.

    Couplings (RealNVP, Glow) evaluate and draw in one pass. MAF evaluates in one pass and draws an
    element at a time, and IAF the other way round. The temperature multiplies e.

    Args:
      flow: a flow of pipeline.flows, such as dict(name="coupling.RealNVP", depth=4).
    """

    def __init__(self, *, shape: tuple[int, ...], flow: Mapping[str, Any], key: PRNGKeyArray):
        if len(shape) != 1:
            raise ConfigError(
                f"model.prior: flows map vectors, and the latents have shape {list(shape)}"
            )
        self.shape = shape
        self.flow = construct(
            "pipeline.flows", flow, where="model.prior.flow", features=shape[0], key=key
        )

    def log_prob(self, z: Float[Array, "b d"]) -> Float[Array, "b d"]:
        noise, log_det = self.flow.inverse_and_log_det(z)
        return gaussian_log_prob(noise) - log_det

    def sample(
        self, key: PRNGKeyArray | None, num: int, temperature: Float[Array, ""] | float | int = 1.0
    ) -> Float[Array, "num d"]:
        noise = jnp.zeros((num, *self.shape), jnp.float32)
        if key is not None:
            noise = temperature * jax.random.normal(key, noise.shape)
        return self.flow(noise)[0]

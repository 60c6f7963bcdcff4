"""Planar flows (Rezende and Mohamed, 1505.05770, section 4.1, constrained as in appendix A)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.flows.chain import Chain

# Bisections of an interval of length 2 |w.u|: beyond float32's precision.
BISECTIONS = 40


class PlanarStep(nnx.Module):
    """y = z + u tanh(w.z + b) (eq. 10), with u adjusted to w.u > -1, so that it is invertible."""

    def __init__(self, features: int, *, key: PRNGKeyArray):
        w_key, u_key = jax.random.split(key)
        self.w = nnx.Param(jax.random.normal(w_key, (features,), jnp.float32) * features**-0.5)
        self.u = nnx.Param(jax.random.normal(u_key, (features,), jnp.float32) * 0.01)
        self.b = nnx.Param(jnp.zeros((), jnp.float32))

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        w, u = self.w[...], self._constrained_u()
        bend = jnp.tanh(z @ w + self.b[...])
        log_det = jnp.log1p((1 - bend**2) * (w @ u))
        spread = jnp.broadcast_to(log_det[:, None] / z.shape[-1], z.shape)
        return z + bend[:, None] * u, spread

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """Invert by bisection of a = w.z, in which w.y = a + w.u tanh(a + b) increases.

        The paper has no inverse.
        """
        w, u = self.w[...], self._constrained_u()
        target, slope = y @ w, w @ u

        def bisect(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            low, high = ends
            middle = (low + high) / 2
            too_high = middle + slope * jnp.tanh(middle + self.b[...]) > target
            return (jnp.where(too_high, low, middle), jnp.where(too_high, middle, high)), None

        width = jnp.abs(slope)
        ends = (target - width, target + width)
        (low, high), _ = jax.lax.scan(bisect, ends, None, length=BISECTIONS)
        return y - jnp.tanh((low + high) / 2 + self.b[...])[:, None] * u

    def _constrained_u(self) -> Float[Array, " d"]:
        w, u = self.w[...], self.u[...]
        product = w @ u
        return u + (jax.nn.softplus(product) - 1 - product) * w / (w @ w)


class Planar(Chain):
    """`depth` planar steps."""

    def __init__(self, features: int, *, depth: int = 8, key: PRNGKeyArray):
        keys = jax.random.split(key, depth)
        super().__init__([PlanarStep(features, key=step_key) for step_key in keys])

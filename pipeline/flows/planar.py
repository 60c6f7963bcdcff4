"""Planar and radial flows of vectors (Rezende and Mohamed, 1505.05770, section 4.1, constraints as in appendix A)."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

# Bisections of an interval that is two units of u long at most: beyond float32's precision.
BISECTIONS = 40


class Planar(nnx.Module):
    """y = z + u tanh(w.z + b) (eq. 10), with u turned so that w.u > -1 and the map is invertible."""

    def __init__(self, features: int, *, key: PRNGKeyArray):
        across, along = jax.random.split(key)
        self.w = nnx.Param(jax.random.normal(across, (features,), jnp.float32) * features**-0.5)
        self.u = nnx.Param(jax.random.normal(along, (features,), jnp.float32) * 0.01)
        self.b = nnx.Param(jnp.zeros((), jnp.float32))

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        w, u = self.w[...], self._direction()
        bend = jnp.tanh(z @ w + self.b[...])
        log_det = jnp.log1p((1 - bend**2) * (w @ u))
        return z + bend[:, None] * u, _spread(log_det, z)

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """By bisection of a = w.z, which grows with w.y = a + w.u tanh(a + b); the paper has no inverse."""
        w, u = self.w[...], self._direction()
        along, slope = y @ w, w @ u

        def halve(ends: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            low, high = ends
            middle = (low + high) / 2
            too_high = middle + slope * jnp.tanh(middle + self.b[...]) > along
            return (jnp.where(too_high, low, middle), jnp.where(too_high, middle, high)), None

        width = jnp.abs(slope)
        (low, high), _ = jax.lax.scan(
            halve, (along - width, along + width), None, length=BISECTIONS
        )
        return y - jnp.tanh((low + high) / 2 + self.b[...])[:, None] * u

    def _direction(self) -> Float[Array, " d"]:
        w, u = self.w[...], self.u[...]
        product = w @ u
        return u + (jax.nn.softplus(product) - 1 - product) * w / (w @ w)


class Radial(nnx.Module):
    """y = z + beta (z - centre) / (alpha + |z - centre|) (eq. 14), with beta > -alpha."""

    def __init__(self, features: int, *, key: PRNGKeyArray):
        self.centre = nnx.Param(jax.random.normal(key, (features,), jnp.float32))
        self.log_alpha = nnx.Param(jnp.zeros((), jnp.float32))
        # softplus(raw) = alpha is beta = 0.
        self.raw_beta = nnx.Param(jnp.log(jnp.expm1(jnp.float32(1.0))) + 0.01)

    def __call__(self, z: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        alpha, beta = self._constants()
        gap = z - self.centre[...]
        # The gradient of a length is not defined at the centre itself.
        radius = jnp.sqrt(jnp.square(gap).sum(axis=-1) + 1e-20)
        pull = beta / (alpha + radius)
        stretched = jnp.log1p(beta * alpha / jnp.square(alpha + radius))
        log_det = (z.shape[-1] - 1) * jnp.log1p(pull) + stretched
        return z + pull[:, None] * gap, _spread(log_det, z)

    def inverse(self, y: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """The radius before solves r^2 + (alpha + beta - R) r - alpha R = 0, R being the one after."""
        alpha, beta = self._constants()
        gap = y - self.centre[...]
        after = jnp.sqrt(jnp.square(gap).sum(axis=-1))
        half = (alpha + beta - after) / 2
        before = jnp.sqrt(half**2 + alpha * after) - half
        return self.centre[...] + gap / (1 + beta / (alpha + before))[:, None]

    def _constants(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        alpha = jnp.exp(self.log_alpha[...])
        return alpha, jax.nn.softplus(self.raw_beta[...]) - alpha


def _spread(log_det: Float[Array, " b"], z: Float[Array, "b d"]) -> Float[Array, "b d"]:
    return jnp.broadcast_to(log_det[:, None] / z.shape[-1], z.shape)

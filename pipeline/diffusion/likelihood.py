"""Log-densities by the probability flow (arXiv 2011.13456, appendix D.2).

    log p(x) = log N(x_latest; 0, I) + the integral of div(dx/dt) from data to noise

The solver is adaptive and each example has its own steps, so that a density does not depend on the
rest of its batch.
"""

import jax
import jax.numpy as jnp
from jax.experimental.ode import odeint
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.diffusion.paths import Path
from pipeline.diffusion.predictions import Split
from pipeline.diffusion.probability_flow import flow


def log_prob(
    path: Path,
    split: Split,
    x: Float[Array, "b ..."],
    *,
    key: PRNGKeyArray | None = None,
    tolerance: float = 3e-6,
    earliest: float | None = None,
) -> Float[Array, " b"]:
    """Return log p(x) of each example, in nats, of the model that the flow is.

    The divergence is exact without a key, by a derivative for each element, for few dimensions.
    With one it is Hutchinson's estimate from one vector of signs an example (arXiv 1810.01367),
    which is unbiased.

    Args:
      tolerance: of the solver, relative and absolute; below 1e-6, float32 has no digits left.
      earliest: the time at which x is taken to be, or None for the path's.
    """
    first = path.earliest if earliest is None else earliest
    length = path.latest - first

    def of_one(one: Float[Array, "..."], probes: Float[Array, "n ..."]) -> Float[Array, ""]:
        def rates(state: tuple[Array, Array], root: Float[Array, ""]) -> tuple[Array, Array]:
            # In the root of the time, sigma of a variance-preserving path begins without a steep
            # rise. The solver's last step may pass the end, where a path need not be defined.
            root = jnp.minimum(root, 1.0)
            t, speed = first + length * jnp.square(root), 2 * length * root
            # Backwards, because our layers with gradients of their own have no forward derivative.
            rate, pull = jax.vjp(lambda x_t: flow(path, split, x_t[None], t)[0], state[0])
            parts = jax.vmap(lambda probe: jnp.vdot(probe, pull(probe)[0]))(probes)
            return speed * rate, speed * parts.sum()

        start = one.astype(jnp.float32), jnp.zeros(())
        noise, volume = odeint(
            rates, start, jnp.asarray([0.0, 1.0]), rtol=tolerance, atol=tolerance
        )
        return jax.scipy.stats.norm.logpdf(noise[-1]).sum() + volume[-1]

    if key is None:
        size = x[0].size
        axes = jnp.eye(size).reshape(size, *x.shape[1:])
        return jax.vmap(of_one, in_axes=(0, None))(x, axes)
    signs = jax.random.rademacher(key, (len(x), 1, *x.shape[1:]), jnp.float32)
    return jax.vmap(of_one)(x, signs)

"""Phase-type distributions of positive numbers: times until a chain of exponential phases ends.

The chain starts in phase i with the probability alpha_i, stays in phase j for an exponential time
of rate lambda_j, and goes on to the next until it leaves the last (PH-VAE, arXiv 2603.01800). With
A the matrix of -lambda on the diagonal and lambda above it, the density is alpha exp(A x) t, where
t is zero but for the last rate. Mixtures and sums of exponentials are dense among the distributions
of positive numbers, so that a likelihood of enough phases follows a heavy tail as far as there is
data.
"""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

_SQUARINGS = 14
_ORDER = 10  # of the exponential's series, for matrices with a norm of up to about 1
_TINY = 1e-30


@flax.struct.dataclass
class PhaseType:
    """Vectors of independent numbers, each with a distribution of m phases.

    Numbers below 0 have no density: the log-probability of their vectors is -inf.

    Attributes:
      log_alpha: log-probabilities of the first phase.
      rates: rates of the phases, above 0.
    """

    log_alpha: Float[Array, "b d m"]
    rates: Float[Array, "b d m"]

    def log_prob(self, x: Float[Array, "b d"]) -> Float[Array, " b"]:
        """Return the log-density of each vector, in nats."""
        log_p = log_density(jnp.maximum(x, 0.0), self.log_alpha, self.rates)
        return jnp.where(x < 0, -jnp.inf, log_p).sum(axis=-1)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "b d"]:
        """Draw vectors."""
        of_phase, of_times = jax.random.split(key)
        first = jax.random.categorical(of_phase, self.log_alpha)[..., None]
        times = jax.random.exponential(of_times, self.rates.shape) / self.rates
        return jnp.where(jnp.arange(times.shape[-1]) >= first, times, 0.0).sum(axis=-1)

    def mean(self) -> Float[Array, "b d"]:
        """Return the mean, -alpha A^-1 1: the expected sum of the phases that are left."""
        left = jnp.cumsum(1 / self.rates[..., ::-1], axis=-1)[..., ::-1]
        return (jnp.exp(self.log_alpha) * left).sum(axis=-1)

    def target(self, x: Float[Array, "b d"]) -> Float[Array, "b d"]:
        """Return vectors as a perfect mean() would be."""
        return x


def log_density(
    x: Float[Array, "*shape"],
    log_alpha: Float[Array, "*shape m"],
    rates: Float[Array, "*shape m"],
) -> Float[Array, "*shape"]:
    """Return log(alpha exp(A x) t), in nats, with gradients, for x of at least 0.

    The slowest phase decides how the density falls, exp(-lambda_min x), and that factor is taken
    out exactly. What is left is exp(A' x) with A' = A + lambda_min, by scaling and squaring: of a
    short time it is exp(-q) times a series of matrices without negative elements (uniformization),
    and squares of such matrices have none either, so that nothing cancels. Squares with elements
    above 1 are scaled to 1, and the logarithms of the factors are added up.

    It is exact to float32's rounding while the largest rate times x is below 2^14. The authors'
    default, exp(A x) itself, is 0 in float32 from about lambda_min x = 90 on.
    """
    slowest = rates.min(axis=-1, keepdims=True)
    short = x[..., None] * 2.0**-_SQUARINGS
    excess = (rates - slowest) * short  # of each phase in the short time
    highest = excess.max(axis=-1)[..., None, None]
    m = rates.shape[-1]
    term = total = jnp.broadcast_to(jnp.eye(m), (*rates.shape, m))
    for order in range(1, _ORDER + 1):
        term = _times_chain(term, highest[..., 0] - excess, rates * short) / order
        total = total + term
    # The diagonal is known at all times. In its squares, the rounding of elements near 1 would
    # double.
    off, log_factor = jnp.triu(total * jnp.exp(-highest), 1), jnp.zeros(x.shape)

    def square(
        carry: tuple[Array, Array, Array], _: None
    ) -> tuple[tuple[Array, Array, Array], None]:
        off, excess, log_factor = carry
        diagonal = jnp.exp(-excess - log_factor[..., None])
        off = _product(off, off) + (diagonal[..., None] + diagonal[..., None, :]) * off
        excess, log_factor = 2 * excess, 2 * log_factor
        largest = jax.lax.stop_gradient(jnp.maximum(1.0, off.max(axis=(-2, -1))))
        off, log_factor = off / largest[..., None, None], log_factor + jnp.log(largest)
        return (off, excess, log_factor), None

    (off, excess, log_factor), _ = jax.lax.scan(
        square, (off, excess, log_factor), length=_SQUARINGS
    )
    scaled = off + _diagonal(jnp.exp(-excess - log_factor[..., None]))
    weighted = (jnp.exp(log_alpha) * scaled[..., :, -1]).sum(axis=-1)
    log_end = jnp.log(jnp.maximum(weighted, _TINY)) + jnp.log(rates[..., -1])
    return log_end + log_factor - slowest[..., 0] * x


def _times_chain(
    term: Float[Array, "*shape m m"], diagonal: Float[Array, "*shape m"], rates: Array
) -> Float[Array, "*shape m m"]:
    """Return the product with a matrix of two diagonals, of which the upper has the rates."""
    moved = jnp.pad((term * rates[..., None, :])[..., :-1], [(0, 0)] * (term.ndim - 1) + [(1, 0)])
    return term * diagonal[..., None, :] + moved


def _diagonal(x: Float[Array, "*shape m"]) -> Float[Array, "*shape m m"]:
    return x[..., None] * jnp.eye(x.shape[-1])


def _product(a: Float[Array, "*shape m m"], b: Float[Array, "*shape m m"]) -> Array:
    return jnp.matmul(a, b, precision="highest")

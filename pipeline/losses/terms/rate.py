"""Rate: the KL of all stochastic layers."""

from jaxtyping import Array, Float

from pipeline.core.reduce import layer_rates
from pipeline.core.types import Latent
from pipeline.losses.term import Term, Weight


def rate(*, weight: Weight = 1.0) -> Term:
    """Return the term KL(q(z | x) || p(z)), whose weight is the beta of a beta-VAE."""
    return Term(
        lambda outputs, batch, step, frozen: total_rate(outputs.latents),
        weight,
        charges_kl=True,
    )


def total_rate(latents: tuple[Latent, ...]) -> Float[Array, " b"]:
    """Return the KL of all layers, in nats."""
    return layer_rates(latents).sum(axis=-1)

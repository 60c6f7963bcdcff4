"""The error of a codec's wavelet bands (WF-VAE, arXiv 2411.17459, eq. 9)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.core.types import Outputs
from pipeline.losses.term import Term, Weight, sum_of_example


def wavelet(*, weight: Weight = 1.0) -> Term:
    """Return the sum of absolute differences between the encoder's bands and the decoder's."""
    return Term(
        lambda outputs, batch, step, frozen: band_error(outputs), weight, log_name="wavelet"
    )


def band_error(outputs: Outputs) -> Float[Array, " b"]:
    """Return sum |decoder's band - encoder's band| over the pairs in aux["wavelets"].

    Raises:
      ConfigError: the model has no wavelet bands.
    """
    if "wavelets" not in outputs.aux:
        raise ConfigError(
            "objective.wavelet: this model has no wavelet bands to compare; set its weight to 0"
        )
    errors = [
        sum_of_example(jnp.abs(decoded - encoded)) for encoded, decoded in outputs.aux["wavelets"]
    ]
    return sum(errors[1:], errors[0])

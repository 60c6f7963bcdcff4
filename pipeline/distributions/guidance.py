"""Guidance of a decoder by a label: the extrapolation from no class to a class.

Classifier-free guidance (arXiv 2207.12598, eq. 6, with its w + 1 as the scale s) extrapolates what
a network says with and without a label. A decoder says the parameters of p(x | z, y), and if labels
were hidden at times in training, also those of p(x | z). For natural parameters the extrapolation
is

    p_s(x | z, y)  proportional to  p(x | z, y)^s p(x | z)^(1 - s)

for every pixel: the logits of Bernoulli and categorical pixels, and the means of Gaussians with one
scale for both (of discretized ones, as far as that scale is wide against the values' spacing). The
scale 0 is p(x | z), 1 is p(x | z, y), and more than 1 makes a class more typical, at the cost of
variety. The prior does not know the label, so that z is drawn as before.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError


def guided(
    head: Any,
    labelled: Float[Array, "b ..."],
    unlabelled: Float[Array, "b ..."],
    scale: Float[Array, ""] | float,
) -> Float[Array, "b ..."]:
    """Return the input of a likelihood head for a scale of guidance.

    Args:
      head: the likelihood head (pipeline.distributions.heads).
      labelled, unlabelled: the decoder's outputs with labels and without.
      scale: s.

    Raises:
      ConfigError: the head's inputs are no natural parameters, so that their extrapolation is the
        parameter of no such product.
    """
    if not head.natural:
        raise ConfigError(
            "guidance extrapolates natural parameters: model.likelihood must be bernoulli, "
            "categorical, or a gaussian of one scale for all pixels"
        )
    labelled, unlabelled = (x.astype(jnp.float32) for x in (labelled, unlabelled))
    return unlabelled + scale * (labelled - unlabelled)

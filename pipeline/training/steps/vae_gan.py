"""What VAE-GAN (arXiv 1512.09300) adds to adversarial training.

Reconstructions are compared in the features of the discriminator, images from the prior are fakes
like reconstructions, and the generator's loss trains the decoder alone.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core import labels, pixels
from pipeline.core.types import Batch, Outputs, pixels_of
from pipeline.losses.objective import Objective

FEATURES = "discriminator_features"  # the term that takes them, and their name in `aux`
_PRIOR = 0x7072696F  # folded into a step's key, for draws from the prior


def decoded_fakes(
    model: Any, outputs: Outputs, batch: Batch, key: PRNGKeyArray
) -> tuple[Float[Array, "b ..."], Float[Array, "b ..."]]:
    """Return reconstructions whose gradient ends at the latents, and images from the prior.

    Both have the labels of the batch, in a model that takes labels.
    """
    z = [jax.lax.stop_gradient(latent.z) for latent in outputs.latents]
    condition = labels.of_batch(model, batch)
    drawn = model.decode((), num=len(z[0]), key=jax.random.fold_in(key, _PRIOR), **condition)
    recon = model.decode(z, **condition)
    return recon.mean().astype(jnp.float32), drawn.mean().astype(jnp.float32)


def needs_features(objective: Objective) -> bool:
    """Return whether a term of the objective compares the discriminator's features."""
    return any(name == FEATURES for name, _ in objective.terms)


def with_features(outputs: Outputs, discriminator: Any, batch: Batch) -> Outputs:
    """Return the outputs with the features of the reconstructions and the images in `aux`."""
    if not hasattr(discriminator, "features"):
        return outputs  # the term says what is missing
    recon, x = outputs.recon.mean().astype(jnp.float32), pixels.to_float(pixels_of(batch))
    pair = discriminator.features(recon), discriminator.features(x)
    return Outputs(outputs.recon, outputs.latents, {**outputs.aux, FEATURES: pair})

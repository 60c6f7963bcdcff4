"""Features of the discriminator, in which an objective may compare reconstructions and images.

VAE-GAN (arXiv 1512.09300, eq. 7) measures reconstructions in this way.
"""

from typing import Any

from pipeline.core.types import Batch, Outputs
from pipeline.losses.objective import Objective
from pipeline.losses.term import recon_and_target

FEATURES = "discriminator_features"  # the term that takes them, and their name in `aux`


def needs_features(objective: Objective) -> bool:
    """Return whether a term of the objective compares the discriminator's features."""
    return any(name == FEATURES for name, _ in objective.terms)


def with_features(outputs: Outputs, discriminator: Any, batch: Batch) -> Outputs:
    """Return the outputs with the features of the reconstructions and the images in `aux`."""
    if not hasattr(discriminator, "features"):
        return outputs  # the term says what is missing
    recon, x = recon_and_target(outputs, batch)
    pair = discriminator.features(recon), discriminator.features(x)
    return Outputs(outputs.recon, outputs.latents, {**outputs.aux, FEATURES: pair})

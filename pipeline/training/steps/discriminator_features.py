"""Features of the discriminator, in which an objective may compare reconstructions and images.

VAE-GAN (arXiv 1512.09300, eq. 7) measures reconstructions in this way.
"""

from typing import Any

from pipeline.core.types import Batch, Outputs
from pipeline.losses.objective import Objective
from pipeline.losses.term import recon_and_target

# Terms that take features of the last hidden layer, and those of all layers.
FEATURES, MATCHING = "discriminator_features", "feature_matching"


def needs_features(objective: Objective) -> bool:
    """Return whether a term of the objective compares the discriminator's features."""
    return any(name in (FEATURES, MATCHING) for name, _ in objective.terms)


def with_features(outputs: Outputs, discriminator: Any, batch: Batch) -> Outputs:
    """Return the outputs with the features of the reconstructions and the images in `aux`."""
    recon, x = recon_and_target(outputs, batch)
    found: dict[str, Any] = {}  # where one is missing, the term says so
    if hasattr(discriminator, "features"):
        found[FEATURES] = discriminator.features(recon), discriminator.features(x)
    if hasattr(discriminator, "layers"):
        found["discriminator_layers"] = discriminator.layers(recon), discriminator.layers(x)
    return Outputs(outputs.recon, outputs.latents, {**outputs.aux, **found})

"""The training step of VAE-GAN (arXiv 1512.09300, algorithm 1)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.core import labels
from pipeline.core.types import Batch, Outputs
from pipeline.training.steps.adversarial import AdversarialStep

_PRIOR = 0x7072696F  # folded into a step's key, for draws from the prior


@dataclasses.dataclass(frozen=True)
class VaeGanStep(AdversarialStep):
    """The AdversarialStep whose fakes are reconstructions and images from the prior alike.

    The generator's loss trains the decoder alone: its gradient ends at the latents. Both kinds of
    fakes have the labels of the batch, in a model that takes labels.
    """

    def _decoded(
        self, model: Any, outputs: Outputs, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, "b ..."], ...]:
        if not self.active:
            return ()
        z = [jax.lax.stop_gradient(latent.z) for latent in outputs.latents]
        condition = labels.of_batch(model, batch)
        drawn = model.decode((), num=len(z[0]), key=jax.random.fold_in(key, _PRIOR), **condition)
        recon = model.decode(z, **condition)
        return recon.mean().astype(jnp.float32), drawn.mean().astype(jnp.float32)

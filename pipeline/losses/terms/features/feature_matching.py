"""Feature matching in all hidden layers of the discriminator (pix2pixHD, 1711.11585, eq. 4)."""

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.losses.term import Term, Weight, num_frames


def feature_matching(*, weight: Weight = 10.0, where: str = "objective.feature_matching") -> Term:
    """Return the mean absolute difference of features of an image and its reconstruction.

    Each layer weighs alike. The term, which does not train the discriminator, counts once for each
    value of a frame.
    """

    def value(outputs, batch, step, frozen):
        pairs = outputs.aux.get("discriminator_layers")
        if pairs is None:
            raise ConfigError(
                f"{where} needs a config.discriminator whose layers can be compared, such as "
                "patchgan.PatchGAN2D"
            )
        errors = [
            jnp.abs(a.astype(jnp.float32) - b.astype(jnp.float32)).reshape(len(a), -1).mean(axis=1)
            for a, b in zip(*pairs, strict=True)
        ]
        return sum(errors[1:], errors[0]) / len(errors) * num_frames(batch)

    return Term(value, weight, log_name="feature_matching", likelihood=True, per_value=True)

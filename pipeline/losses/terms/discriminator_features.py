"""The reconstruction error in the features of the discriminator (VAE-GAN, arXiv 1512.09300)."""

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.losses.term import Term, Weight, sum_of_example


def discriminator_features(
    *, weight: Weight = 1.0, where: str = "objective.discriminator_features"
) -> Term:
    """Return half the squared distance of the features of an image and its reconstruction.

    It is the negative log-likelihood of the features under N(., 1), up to a constant (equation 7).
    They are of the discriminator's last hidden layer, which this term does not train.
    """

    def value(outputs, batch, step, frozen):
        pair = outputs.aux.get("discriminator_features")
        if pair is None:
            raise ConfigError(
                f"{where} needs config.step='vae_gan' or 'adversarial', and a config.discriminator "
                "with features"
            )
        a, b = (each.astype(jnp.float32) for each in pair)
        return 0.5 * sum_of_example(jnp.square(a - b))

    return Term(value, weight, log_name="discriminator_features", likelihood=True)

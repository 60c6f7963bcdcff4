"""The student's latents are those of its teacher: a mean squared error."""

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.losses.teacher import LATENT, target
from pipeline.losses.term import Term, Weight, num_frames


def teacher_latents(*, weight: Weight = 1.0, where: str = "objective.teacher_latents") -> Term:
    """Return the squared error of the posterior's mean, as a mean over the latent's elements.

    It counts once for each value of an image, so that its weight is relative to a mean error of
    pixels at any size of latents. A latent without a mean (codes) is compared as it is.
    """

    def value(outputs, batch, step, frozen):
        (latent,) = outputs.latents
        own, wanted = latent.z if latent.mean is None else latent.mean, target(batch, LATENT, where)
        if own.shape != wanted.shape:
            raise ConfigError(
                f"{where}: the student's latents are {list(own.shape[1:])} and the teacher's "
                f"{list(wanted.shape[1:])}: give the student the teacher's factors and channels"
            )
        return jnp.square(own - wanted).reshape(len(own), -1).mean(axis=1) * num_frames(batch)

    return Term(value, weight, log_name="teacher_latents", per_value=True)

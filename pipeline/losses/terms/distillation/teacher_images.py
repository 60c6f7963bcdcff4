"""The student's images are those of its teacher: an L1 error."""

import jax.numpy as jnp

from pipeline.losses.teacher import IMAGE, target
from pipeline.losses.term import Term, Weight, recon_and_target, sum_of_example


def teacher_images(*, weight: Weight = 1.0, where: str = "objective.teacher_images") -> Term:
    """Return the sum of |student - teacher| over the values of an image or clip."""

    def value(outputs, batch, step, frozen):
        recon, _ = recon_and_target(outputs, batch)
        return sum_of_example(jnp.abs(recon - target(batch, IMAGE, where)))

    return Term(value, weight, log_name="teacher_images", likelihood=True)

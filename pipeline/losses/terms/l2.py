"""L2: the sum of squared errors of an example's values."""

import jax.numpy as jnp

from pipeline.losses.term import Term, Weight, recon_and_target, sum_of_example


def l2(*, weight: Weight = 1.0) -> Term:
    """Return the term sum (x - recon)^2 of values in [-1, 1].

    It is twice the nats of a Gaussian likelihood, up to a constant.
    """

    def value(outputs, batch, step, frozen):
        recon, x = recon_and_target(outputs, batch)
        return sum_of_example(jnp.square(recon - x))

    return Term(value, weight, log_name="l2", likelihood=True)

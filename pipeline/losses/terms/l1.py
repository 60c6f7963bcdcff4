"""L1: the sum of absolute errors of an example's values."""

import jax.numpy as jnp

from pipeline.losses.term import Term, Weight, recon_and_target, sum_of_example


def l1(*, weight: Weight = 1.0) -> Term:
    """Return the term sum |x - recon| of values in [-1, 1].

    It is a Laplace likelihood in nats, up to a constant.
    """

    def value(outputs, batch, step, frozen):
        recon, x = recon_and_target(outputs, batch)
        return sum_of_example(jnp.abs(recon - x))

    return Term(value, weight, log_name="l1", likelihood=True)

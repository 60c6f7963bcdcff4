"""The classification loss of the examples that have labels (M2, arXiv 1406.5298, eq. 9)."""

import jax.numpy as jnp

from pipeline.core.errors import ConfigError
from pipeline.losses.classes import of_classes
from pipeline.losses.term import Term, Weight


def classification(
    *,
    weight: Weight = 0.1,
    num_examples: int = 1,
    num_labelled: int = 1,
    where: str = "objective.classification",
) -> Term:
    """Return -log q(y | x) num_examples / num_labelled of examples with a label, 0 of the others.

    The mean over a training set is then that over its labelled examples alone, and `weight` is the
    paper's alpha / N, 0.1 there.

    num_examples: number of training examples, with and without a label.
    num_labelled: number of training examples that have a label.
    """
    if not 1 <= num_labelled <= num_examples:
        raise ConfigError(
            f"{where}.num_labelled={num_labelled} must be from 1 to "
            f"num_examples={num_examples}, the number of training examples"
        )

    def value(outputs, batch, step, frozen):
        _, log_q = of_classes(outputs, where)
        label = batch["label"]
        nats = -jnp.take_along_axis(log_q, jnp.maximum(label, 0)[:, None], axis=1)[:, 0]
        return jnp.where(label >= 0, nats * (num_examples / num_labelled), 0.0)

    return Term(value, weight, log_name="classification")

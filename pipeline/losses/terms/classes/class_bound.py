"""The bound of a model with a class, whether the class is known or not (M2, arXiv 1406.5298)."""

import jax.numpy as jnp

from pipeline.losses.classes import of_classes, unlabelled_bound
from pipeline.losses.term import Term, Weight


def class_bound(*, weight: Weight = 1.0, where: str = "objective.class_bound") -> Term:
    """Return L(x, y) of examples with a label (eq. 6), and U(x) of the others (eq. 7)."""

    def value(outputs, batch, step, frozen):
        bounds, log_q = of_classes(outputs, where)
        label = batch["label"]
        labelled = jnp.take_along_axis(bounds, jnp.maximum(label, 0)[:, None], axis=1)[:, 0]
        return jnp.where(label >= 0, labelled, unlabelled_bound(bounds, log_q))

    return Term(value, weight, log_name="class_bound", likelihood=True)

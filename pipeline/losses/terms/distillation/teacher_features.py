"""The student looks where its teacher looks: attention transfer (arXiv 1612.03928, eq. 2).

A layer's map of attention is the sum of squares over its channels, divided by its norm over the
positions. It has no channels, so that layers of different widths compare without a projection.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from pipeline.core.errors import ConfigError
from pipeline.losses.teacher import FEATURES, target
from pipeline.losses.term import Term, Weight, num_frames


def teacher_features(*, weight: Weight = 1.0, where: str = "objective.teacher_features") -> Term:
    """Return the distance between the maps of attention of student and teacher, summed over the
    layers of config.teacher.layers. It counts once for each value of a frame.
    """

    def value(outputs, batch, step, frozen):
        own, wanted = outputs.aux[FEATURES], target(batch, FEATURES, where)
        total = jnp.zeros(())
        for a, b in zip(own, wanted, strict=True):
            if a.shape[:-1] != b.shape[:-1]:
                raise ConfigError(
                    f"{where}: a layer of the student gives {list(a.shape[1:-1])} positions and "
                    f"the teacher's {list(b.shape[1:-1])}: name layers of the same resolution"
                )
            total = total + jnp.linalg.norm(attention(a) - attention(b), axis=1)
        return total * num_frames(batch)

    return Term(value, weight, log_name="teacher_features", per_value=True)


def attention(features: Float[Array, "b ... c"]) -> Float[Array, "b n"]:
    """Return the sum of squares over channels, scaled to norm 1 over an example's positions."""
    energy = jnp.square(features.astype(jnp.float32)).sum(axis=-1).reshape(len(features), -1)
    return energy / jnp.maximum(jnp.linalg.norm(energy, axis=1, keepdims=True), 1e-12)

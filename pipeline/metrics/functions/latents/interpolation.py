"""How evenly images change along a line between two latents."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def path_ratio(images: Float[Array, "k b ..."]) -> Float[Array, " b"]:
    """Return the length of a path of k images over the distance of its ends, which is 1 or more.

    Lengths are Euclidean. A path that changes evenly in one direction has 1; one that leaves the
    images between its ends has more. Equal ends have 1.
    """
    flat = images.reshape(*images.shape[:2], -1).astype(jnp.float32)
    steps = jnp.linalg.norm(flat[1:] - flat[:-1], axis=-1).sum(axis=0)
    ends = jnp.linalg.norm(flat[-1] - flat[0], axis=-1)
    return jnp.where(ends > 0, steps / jnp.where(ends > 0, ends, 1), 1.0)
